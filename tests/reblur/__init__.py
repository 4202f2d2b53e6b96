"""Tests of Reblur2Deblur."""
