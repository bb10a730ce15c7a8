"""What a chart is asked to show: curves and references, and how curves are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mamltui.curves import Series

CurveStyle = Literal["accent", "second", "third", "fourth", "fifth", "sixth", "raw"]

CURVE_STYLES: Final = ("accent", "second", "third", "fourth", "fifth", "sixth")
MARKS: Final = "●◆▲■▼○"
DASHES: Final = ("11111111", "11110000", "11001100", "10001000", "11111100", "11101000")
"""The dot columns that the line of each curve style fills, over and over."""


@dataclass(frozen=True)
class Curve:
    """One curve of a chart.

    Args:
        label: its name in the legend, shown literally.
        series: its points; the chart keeps the reference and shows what is added later.
        style: colour, dashes and mark; ``raw`` is a faint line that gives way to all others.
        smooth: weight of the moving average drawn over the then faint values; 0 draws the values.
        marks: mark the points as well.
        band: the lowest and the highest values around it, at the same x; drawn as a faint area.
        end: written at the right end of the line, such as a letter.
    """

    label: str
    series: Series
    style: CurveStyle = "accent"
    smooth: float = 0.0
    marks: bool = False
    band: tuple[Series, Series] | None = None
    end: str = ""

    @property
    def look(self) -> int:
        """The index of the dashes and the mark."""
        return 0 if self.style == "raw" else CURVE_STYLES.index(self.style)


@dataclass(frozen=True)
class Reference:
    """A horizontal line at a known value, such as a published accuracy.

    Args:
        label: shown literally at the right end of the line.
        value: in the unit of the curves.
        low: the lower end of its confidence interval.
        high: the upper end.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
