"""The live preview: a layer that shows the estimate while a run goes on, and leaves with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deblur.layers import LayerSource, inner_transform
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
        count = data.ndim - rgb
        if self._layer is None:
            selected = set(self._viewer.layers.selection)
            self._layer = self._viewer.add_image(data, rgb=rgb, **self._how(count, preview.start))
            self._viewer.layers.selection = selected
        elif self._layer in self._viewer.layers:
            self._layer.data = data
            self._layer.translate = self._corner(count, preview.start)

    def _how(self, count: int, start: Sequence[int]) -> dict[str, Any]:
        """Place and looks of a layer of the last `count` axes."""
        geometry, display = self._part.geometry, self._part.display
        how = {key: geometry[key][-count:] for key in ("scale", "units", "axis_labels")}
        how |= {key: display[key] for key in SHOWN if not (self._part.image.is_rgb and key == "colormap")}
        how["translate"] = self._corner(count, start)
        return how | {"name": f"{self._part.name}: running", "metadata": {OWN: True}}

    def _corner(self, count: int, start: Sequence[int]) -> Any:
        """Where a window of the part begins, along the last `count` axes."""
        geometry = self._part.geometry
        places = np.zeros(len(geometry["scale"]))
        if start:
            places[-len(start) :] = start
        return inner_transform(geometry)(places)[-count:]

    def remove(self) -> None:
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None
