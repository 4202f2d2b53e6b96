"""The misfit of the steps so far, as a line; logarithmic where it falls over decades."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qtpy.QtCore import QPointF
from qtpy.QtGui import QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

POINTS = 300
"""More points than this are thinned out: the curve is narrower than that."""


class Curve(QWidget):
    """A line without axes; its ends are said in words beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._values: list[float] = []
        self.setFixedHeight(36)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Misfit of every step: how far the prediction is from the image")

    def show_values(self, values: Sequence[float]) -> None:
        self._values = thinned(values)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if len(self._values) < 2:
            return
        heights = [math.log(value) if value > 0 else math.nan for value in self._values]
        if any(math.isnan(height) for height in heights):
            heights = self._values
        low, high = min(heights), max(heights)
        span = (high - low) or 1.0
        width, height = self.width() - 4, self.height() - 6
        points = [
            QPointF(2 + width * place / (len(heights) - 1), 3 + height * (high - value) / span)
            for place, value in enumerate(heights)
        ]
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self.palette().color(self.foregroundRole()), 1.2))
        painter.drawPolyline(QPolygonF(points))
        painter.end()


def thinned(values: Sequence[float]) -> list[float]:
    """At most `POINTS` of the values that are finite, evenly spread, the last one among them."""
    finite = [value for value in values[:: max(1, len(values) // POINTS)] if math.isfinite(value)]
    if values and math.isfinite(values[-1]) and (not finite or finite[-1] != values[-1]):
        finite.append(values[-1])
    return finite
