"""Tests of the distribution: what is installed, what is found, and what starting it imports."""
