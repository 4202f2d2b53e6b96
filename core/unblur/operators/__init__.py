"""Numerical operators on tensors (frames, channels, *spatial), 2-D and 3-D, on any device."""
