"""The live preview: a layer that shows the estimate while a run goes on, and leaves with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deblur.layers import LayerSource
from napari_deblur.panel.image_part import OWN
from napari_deblur.results import as_shown
from napari_deblur.worker import Preview

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image as ImageLayer

SHOWN = ("colormap", "contrast_limits", "gamma", "interpolation2d")


class Live:
    """One layer for the previews of a run on a part of a layer, where that part lies.

    A preview layer that the user deletes stays away.
    """

    def __init__(self, viewer: ViewerModel, part: LayerSource) -> None:
        self._viewer, self._part = viewer, part
        self._layer: ImageLayer | None = None
        self._shown: Preview | None = None

    def show(self, preview: Preview) -> None:
        """Show a preview, once."""
        if preview is self._shown:
            return
        self._shown = preview
        rgb = self._part.image.is_rgb
        data, _ = as_shown(np.moveaxis(preview.image, 0, -1) if rgb else preview.image[0], self._part)
        if self._layer is None:
            selected = set(self._viewer.layers.selection)
            self._layer = self._viewer.add_image(data, rgb=rgb, **self._how(data.ndim - rgb))
            self._viewer.layers.selection = selected
        elif self._layer in self._viewer.layers:
            self._layer.data = data

    def _how(self, count: int) -> dict[str, Any]:
        """Place and looks of a layer of the last `count` axes."""
        geometry, display = self._part.geometry, self._part.display
        how = {key: geometry[key][-count:] for key in ("scale", "translate", "units", "axis_labels")}
        how |= {key: display[key] for key in SHOWN if not (self._part.image.is_rgb and key == "colormap")}
        return how | {"name": f"{self._part.name}: running", "metadata": {OWN: True}}

    def remove(self) -> None:
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None
