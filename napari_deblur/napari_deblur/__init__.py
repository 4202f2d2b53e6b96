"""The napari widget of napari-deblur: forms, a worker, layers. It processes no images itself; `unblur` does."""
