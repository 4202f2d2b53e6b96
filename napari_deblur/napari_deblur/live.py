"""The live preview: a layer that shows the estimate while a run goes on, and then leaves, or becomes the result's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_deblur.layers import LayerSource, inner_transform
from napari_deblur.panel.image_part import OWN
from napari_deblur.results import add, as_shown
from napari_deblur.worker import Preview

if TYPE_CHECKING:
    from napari.components import ViewerModel

DONE = object()

SHOWN = ("colormap", "contrast_limits", "gamma", "interpolation2d")


class Live:
    """One layer for the previews of a run on a part of a layer, at the plane that is worked on.

    A preview layer that the user deletes stays away. napari takes a tenth of a second to add a layer, and longer to
    remove one, so that a result may take the layer over (`results.show`).
    """

    def __init__(self, viewer: ViewerModel, part: LayerSource) -> None:
        self._viewer, self._part = viewer, part
        self._layer: Image | None = None
        self._shown: Preview | None = None
        self._turns: Iterator[None] | None = None

    @property
    def layer(self) -> Image | None:
        """The preview layer, where there is one."""
        return self._layer if self._layer is not None and self._layer in self._viewer.layers else None

    def show(self, preview: Preview) -> bool:
        """Show a preview, once; whether that was done at an earlier look, so that the window has drawn it meanwhile."""
        if self._turns is None:
            self._turns = self._appear(preview)
        if next(self._turns, DONE) is not DONE:
            return False
        if preview is self._shown or self._layer is None:
            return True
        self._layer.data, self._layer.translate = self._placed(preview)
        self._shown = preview
        return False

    def _appear(self, preview: Preview) -> Iterator[None]:
        """The layer is made and added, one look after the other; what was selected stays so."""
        data, corner = self._placed(preview)
        self._layer, self._shown = Image(data, **self._looks(), translate=corner), preview
        yield
        selected = set(self._viewer.layers.selection)
        for _ in add(self._viewer, self._layer):
            yield
            self._viewer.layers.selection = selected & set(self._viewer.layers)

    def _placed(self, preview: Preview) -> tuple[np.ndarray, Any]:
        """The pixels as they are shown, and their corner."""
        return as_shown(self._expanded(preview.image), self._part), self._corner(preview)

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
