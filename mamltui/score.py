"""What tells how well tasks are solved: accuracy of answers, or square error of fitted numbers.

All that shows, compares or keeps a result asks here how it is called, in which unit it is written
and which of two is the better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A kind of score."""

    name: str
    """In words, e.g. ``accuracy``."""
    short: str
    """For narrow places."""
    factor: float
    """From the number in files and tensors to the one that people read."""
    unit: str
    """Behind a number, with its space; empty: it has none."""
    decimals: int
    """Of a number beside its interval."""
    is_error: bool
    """Whether the lower of two is the better."""
    mark: str = ""
    """Before a number in a column of others."""

    @property
    def title(self) -> str:
        """The head of a column of bare numbers, e.g. ``accuracy %``."""
        return f"{self.name}{self.unit}"

    @property
    def key(self) -> str:
        """As programs are told it: ``accuracy``, ``mean_squared_error``."""
        return self.name.replace(" ", "_")

    def number(self, value: float, decimals: int | None = None) -> str:
        """Without its unit, e.g. ``98.21``."""
        return f"{self.factor * value:.{self.decimals if decimals is None else decimals}f}"

    def text(self, value: float, decimals: int | None = None) -> str:
        """With its unit, e.g. ``98.21 %``."""
        return f"{self.number(value, decimals)}{self.unit}"

    def with_interval(self, value: float, ci95: float, plus_minus: str = "±") -> str:
        """E.g. ``98.21 ± 0.31``; alone where half the interval's width is not known (NaN)."""
        text = self.number(value)
        return text if math.isnan(ci95) else f"{text} {plus_minus} {self.number(ci95)}"

    def rank(self, value: float) -> float:
        """Least for the best."""
        return value if self.is_error else -value


ACCURACY = Metric("accuracy", "acc", 100.0, " %", 2, is_error=False)
"""The fraction of examples answered right, in percent for people."""
SQUARED_ERROR = Metric("mean squared error", "error", 1.0, "", 3, is_error=True, mark="MSE ")
"""Of numbers that are fitted, in the square of their own unit (MAML paper, equation 2)."""


@dataclass(frozen=True)
class Score:
    """How well tasks were solved, which knows what it is."""

    metric: Metric
    value: float
    ci95: float = math.nan
    """Half the width of its 95% interval; NaN: not known."""

    @classmethod
    def of(cls, accuracy: float | None, loss: float, ci95: float = math.nan) -> Score:
        """The accuracy, or where nothing is right or wrong (None) the loss, a mean square error."""
        if accuracy is None:
            return cls(SQUARED_ERROR, loss, ci95)
        return cls(ACCURACY, accuracy, ci95)

    @property
    def text(self) -> str:
        """With its unit: ``98.2 %``, ``0.441``."""
        return self.metric.text(self.value, None if self.metric.is_error else 1)

    @property
    def full(self) -> str:
        """The same to all decimals: ``98.21 %``, ``0.441``."""
        return self.metric.text(self.value)

    @property
    def listed(self) -> str:
        """For a column of percentages: ``98.21``; an error names itself, ``MSE 0.441``."""
        return f"{self.metric.mark}{self.metric.number(self.value)}"

    @property
    def named(self) -> str:
        """For a column of scores of any kind: ``98.21 %``, ``MSE 0.441``."""
        return f"{self.metric.mark}{self.full}"

    @property
    def named_with_interval(self) -> str:
        """The same with its interval: ``98.21 ± 0.31 %``, ``MSE 0.441 ± 0.031``."""
        return f"{self.metric.mark}{self.with_interval}{self.metric.unit}"

    @property
    def order(self) -> float:
        """The greater, the better; errors come after all accuracies."""
        return -self.value if self.metric.is_error else self.value

    @property
    def with_interval(self) -> str:
        """``98.21 ± 0.31``, ``0.441 ± 0.031``, without a unit."""
        return self.metric.with_interval(self.value, self.ci95)
