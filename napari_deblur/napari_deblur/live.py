"""The live preview: a layer that shows the estimate while a run goes on, and then leaves, or becomes the result's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_deblur.layers import LayerSource, inner_transform
from napari_deblur.panel.image_part import OWN
from napari_deblur.results import as_shown
from napari_deblur.worker import Preview

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image as ImageLayer
    from napari.layers import Layer

SHOWN = ("colormap", "contrast_limits", "gamma", "interpolation2d")


class Live:
    """One layer for the previews of a run on a part of a layer, at the plane that is worked on.

    A preview layer that the user deletes stays away. napari takes a tenth of a second to add a layer, and longer to
    remove one, so that a result may take the layer over (`results.show`).
    """

    def __init__(self, viewer: ViewerModel, part: LayerSource) -> None:
        self._viewer, self._part = viewer, part
        self._layer: ImageLayer | None = None
        self._shown: Preview | None = None
        self._selected: set[Layer] | None = None

    @property
    def layer(self) -> ImageLayer | None:
        """The preview layer, where there is one."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def show(self, preview: Preview) -> None:
        """Show a preview, once; looked at again, see to it that what was selected still is."""
        if self._selected is not None:
            self._viewer.layers.selection = self._selected & set(self._viewer.layers)
            self._selected = None
        if preview is self._shown:
            return
        self._shown = preview
        data = as_shown(self._expanded(preview.image), self._part)
        corner = self._corner(preview)
        if self._layer is None:
            self._selected = set(self._viewer.layers.selection)
            self._layer = self._viewer.add_image(data, **self._looks(), translate=corner)
        elif self.layer is not None:
            self._layer.data = data
            self._layer.translate = corner

    def _expanded(self, image: np.ndarray) -> np.ndarray:
        """Pixels (channels, *spatial) with all axes of the part, of size one where there is one plane."""
        part = self._part.image
        named = "S" + "ZYX"[1 - image.ndim :]
        if not part.is_rgb:
            named, image = named[1:], image[0]
        ordered = image.transpose([named.index(axis) for axis in part.axes if axis in named])
        return ordered[tuple(slice(None) if axis in named else np.newaxis for axis in part.axes)]

    def _looks(self) -> dict[str, Any]:
        """How the layer lies, but for its corner, and how it is shown."""
        geometry, display, rgb = self._part.geometry, self._part.display, self._part.image.is_rgb
        looks = {key: display[key] for key in SHOWN if not (rgb and key == "colormap")}
        looks |= {key: geometry[key] for key in geometry if key != "translate"}
        return looks | {"rgb": rgb, "name": f"{self._part.name}: running", "metadata": {OWN: True}}

    def _corner(self, preview: Preview) -> Any:
        """Where the plane, or its window, begins in the part."""
        axes = self._part.placed_axes
        spatial = "ZYX"[1 - preview.image.ndim :]
        starts = dict(zip(spatial, preview.start, strict=False))
        place = [float({**preview.index, **starts}.get(axis, 0)) for axis in axes]
        return inner_transform(self._part.geometry)(place)

    def remove(self) -> None:
        """Take the layer away, unless a result has taken it over."""
        if self.layer is not None and OWN in self.layer.metadata:
            self._viewer.layers.remove(self.layer)
        self._layer = None
