"""What is said about the values of the pixels, and the seed: seldom needed, and closed at first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt
from psygnal import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget
from typing_extensions import Doc

from napari_deblur.form.parameters import FieldsForm
from napari_deblur.form.sections import Section
from napari_deblur.form.texts import plain_text
from unblur.errors import ParameterError
from unblur.params import fields_of

TITLE = "Camera, NaN pixels, tiles, seed"


@dataclass(frozen=True)
class _Values:
    camera_offset: Annotated[
        str,
        Doc(
            "What the camera gives where there is no light, in the image's units, for Poisson noise; auto estimates it "
            "from the image. Nothing is 0, or auto where a gain is given."
        ),
    ] = ""
    camera_gain: Annotated[
        str,
        Doc(
            "The image's units for each photon, for Poisson noise; auto estimates it from the image. Nothing is 1, or "
            "auto where an offset is given."
        ),
    ] = ""
    white_level: Annotated[
        float | None, Gt(0), Doc("The value at which pixels are saturated, where the image does not say it.")
    ] = None
    NaN_pixels: Annotated[
        Literal["refuse", "mask"],
        Doc("refuse says where pixels are NaN or infinite; mask leaves them out, and they are estimated."),
    ] = "refuse"
    tiles: Annotated[
        int | None,
        Ge(1),
        Doc(
            "Width in pixels of the tiles that an image is restored in, with one kernel, where its memory would not "
            "suffice for the whole. Nothing restores the whole at once."
        ),
    ] = None
    seed: Annotated[int, Ge(0), Doc("Of random numbers: another seed is a second opinion on a network's result.")] = 0


NAMES = {
    "camera_offset": "offset",
    "camera_gain": "gain",
    "white_level": "white_level",
    "NaN_pixels": "nan",
    "tiles": "tile",
    "seed": "seed",
}
"""What a request calls them."""

PLACEHOLDERS = {"camera_offset": "0", "camera_gain": "1", "white_level": "as the image says", "tiles": "none"}
"""What holds where nothing is written."""


class ValuesPart(QWidget):
    """`arguments` are what a request needs of it."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.form = FieldsForm(fields_of(_Values), {})
        for name, said in PLACEHOLDERS.items():
            self.form[name].native.setPlaceholderText(said)
        holder = QWidget()
        inner = QVBoxLayout(holder)
        inner.setContentsMargins(12, 0, 0, 6)
        inner.addWidget(self.form.native)
        self.section = Section(TITLE, holder)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.section)
        self.form.changed.connect(lambda _: self._on_form())

    def arguments(self) -> dict[str, Any]:
        """`offset`, `gain`, `white_level`, `nan`, `tile` and `seed`, where they are not the defaults.

        Raises:
            ParameterError: something in the form cannot be used.
        """
        if problems := self.form.problems():
            raise ParameterError(problems[0])
        changed = {NAMES[name]: value for name, value in self.form.changes().items()}
        return changed | {name: _camera(name, changed[name]) for name in ("offset", "gain") if name in changed}

    def _on_form(self) -> None:
        changed = self.form.changes()
        said = ", ".join(f"{NAMES[name].replace('_', ' ')} {plain_text(value)}" for name, value in changed.items())
        self.section.say(said)
        self.changed.emit()


def _camera(name: str, text: str) -> float | str | None:
    """A number, ``auto``, or nothing.

    Raises:
        ParameterError: something else, or a gain that is not above zero.
    """
    text = text.strip().lower()
    if text in ("", "auto"):
        return text or None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (name == "gain" and value <= 0):
        bound = ", above 0" if name == "gain" else ""
        raise ParameterError(f"camera {name} {text}: expected a number{bound}, auto, or nothing")
    return value
