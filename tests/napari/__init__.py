"""Tests of the napari widget, with real windows."""
