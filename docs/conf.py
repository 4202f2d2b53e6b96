"""Sphinx configuration. Builds offline: no intersphinx, so that warnings can be errors."""

from importlib.metadata import version as installed_version

project = "napari-deblur"
author = "napari-deblur contributors"
copyright = author
release = version = installed_version("napari-deblur")

extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "generated"]

html_theme = "furo"
html_title = f"napari-deblur {release}"
