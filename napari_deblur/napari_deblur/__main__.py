"""`python -m napari_deblur`: napari with the dock and a sample, to try it out."""

from __future__ import annotations

import napari

SAMPLE = "camera"


def main() -> None:
    """Open the window and wait until it is closed."""
    viewer = napari.Viewer()
    viewer.open_sample("napari-deblur", SAMPLE)
    viewer.window.add_plugin_dock_widget("napari-deblur", "Deblur")
    napari.run()


if __name__ == "__main__":
    main()
