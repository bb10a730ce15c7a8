"""Intervals that say what they are of, and paired comparisons; plain numbers in, numbers out.

An accuracy varies with the episodes drawn, with the test images and the classes there happen to be,
and with the training's seed. Each is an interval of its own, and none holds the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # numpy takes a tenth of a second to import, and most commands do without
    import numpy as np

Source = Literal["episodes", "test images", "classes", "training seeds"]
"""What another measurement would draw anew, all else as it is."""
RESAMPLES = 2000
BINS = 15
"""Of confidence, equally wide, as in Guo et al. 2017."""
Z95 = 1.96
"""As papers have it: 97.5 % of a normal distribution lie below."""
Z80 = 0.8416
"""80 % of a normal distribution lie below."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% interval. The bounds are NaN where too little is known for one."""

    mean: float
    low: float
    high: float
    of: Source
    count: int
    """Episodes, classes or seeds behind it."""

    @property
    def half_width(self) -> float:
        """Half of ``high - low``; a bootstrap's interval need not lie around the mean."""
        return (self.high - self.low) / 2


def episode_interval(values: Sequence[float]) -> Interval:
    """Mean +- 1.96 sd / sqrt(n) over episodes drawn with replacement, as papers print it.

    It says how well so many episodes measure this checkpoint on these test images. More episodes
    make it as narrow as one likes, so it holds nothing of how few the images are (Lafargue et al.
    2024, arXiv 2409.02850).
    """
    mean, error = _mean_and_error(values)
    return Interval(mean, mean - Z95 * error, mean + Z95 * error, "episodes", len(values))


def image_interval(values: Sequence[float]) -> Interval:
    """Student's interval over disjoint episodes, in which no test image is used twice.

    The episodes are then independent samples of the data, so it is an interval of the accuracy on
    other images of such classes (Lafargue et al. 2024). Of one episode the bounds are NaN.
    """
    return _student(values, "test images")


def seed_interval(values: Sequence[float]) -> Interval:
    """Student's interval over trainings that differ in their seed; of one, the bounds are NaN."""
    return _student(values, "training seeds")


def class_interval(right: Sequence[int], queries: Sequence[int]) -> Interval:
    """Percentile bootstrap over the test classes, each drawn with all its query images.

    Args:
        right: of each class, the query images classified right in all episodes; or, of two runs
            on the same episodes, the difference of that.
        queries: of each class, its query images in all episodes; classes without any are left out.

    The classes beside which a class stood are taken as they were.
    """
    asked = [pair for pair in zip(right, queries, strict=True) if pair[1] > 0]
    if not asked:
        return Interval(math.nan, math.nan, math.nan, "classes", 0)
    hits, totals = zip(*asked, strict=True)
    low, high = _bootstrap(hits, totals)
    return Interval(sum(hits) / sum(totals), low, high, "classes", len(asked))


@dataclass(frozen=True)
class PairedDifference:
    """How much better the second of two is, measured on the same episodes, classes or seeds."""

    interval: Interval
    """Of the mean difference, second minus first."""
    p_value: float
    """Two-sided, of Student's paired test, that there is no difference; 1 where all are zero."""
    improvement: float
    """Probability that the second does better on one of them, ties by half: the probability of
    improvement of Agarwal et al. 2021, here of pairs."""
    least_detectable: float
    """The true difference that so many pairs of this spread show in 80 % of all cases (two-sided,
    5 %); what is smaller may be there and not be seen."""

    @property
    def difference(self) -> float:
        return self.interval.mean

    @property
    def is_significant(self) -> bool:
        """By itself at 5 %; of several comparisons, see ``holm``."""
        return self.p_value < 0.05


def paired_difference(
    first: Sequence[float], second: Sequence[float], of: Source = "episodes"
) -> PairedDifference:
    """Compare two on the same episodes (or seeds), in the same order.

    What makes an episode hard for both cancels out, so the interval is narrower than that of two
    independent measurements.

    Raises:
        ValueError: they are not equally many, or there are fewer than two.
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError("a paired comparison needs the same two or more episodes of both")
    differences = [after - before for before, after in zip(first, second, strict=True)]
    # Accuracies are fractions of few images: what differs by rounding alone is equal.
    differences = [0.0 if abs(each) < 1e-12 else each for each in differences]
    interval = _student(differences, of)
    _, error = _mean_and_error(differences)
    freedom = len(differences) - 1
    if error == 0:
        p_value = 1.0 if interval.mean == 0 else 0.0
    else:
        p_value = 2 * student_tail(abs(interval.mean) / error, freedom)
    better = sum(0.5 if each == 0 else float(each > 0) for each in differences) / len(differences)
    return PairedDifference(
        interval=interval,
        p_value=p_value,
        improvement=better,
        least_detectable=(student_quantile(0.975, freedom) + Z80) * error,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for being several (Holm 1979), in the order given.

    What is called significant at an adjusted 5 % holds one false discovery or more in at most 5 %
    of all studies.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, most = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = most
    return adjusted


def low_percentile(values: Sequence[float], percent: float = 5) -> float:
    """The value that ``percent`` % of all lie below, interpolated; NaN of none."""
    if not values:
        return math.nan
    ordered, position = sorted(values), percent / 100 * (len(values) - 1)
    below = math.floor(position)
    above = min(below + 1, len(values) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


@dataclass(frozen=True)
class Reliability:
    """How confident answers were and how often right, in ``BINS`` equal bins of confidence."""

    answers: tuple[int, ...]
    right: tuple[int, ...]
    confidence: tuple[float, ...]
    """Sum of the probabilities given to the answers of each bin."""

    @classmethod
    def of(cls, confidence: Sequence[float], right: Sequence[bool]) -> Reliability:
        """From each answer's probability in [0, 1] and whether it was right."""
        import numpy as np

        probabilities, hits = np.asarray(confidence, float), np.asarray(right, float)
        bin_of = np.clip(np.ceil(probabilities * BINS).astype(int) - 1, 0, BINS - 1)

        def sums(weights: np.ndarray | None) -> list[float]:
            return [float(each) for each in np.bincount(bin_of, weights, BINS)]

        return cls(
            tuple(int(count) for count in sums(None)),
            tuple(int(count) for count in sums(hits)),
            tuple(round(each, 6) for each in sums(probabilities)),
        )

    @property
    def error(self) -> float:
        """Expected calibration error (Guo et al. 2017): |accuracy - confidence|, mean over answers.

        0: of answers given with 90 % confidence, 90 % are right. NaN of no answers.
        """
        total = sum(self.answers)
        if total == 0:
            return math.nan
        pairs = zip(self.right, self.confidence, strict=True)
        return sum(abs(right - confidence) for right, confidence in pairs) / total


def student_tail(value: float, freedom: float) -> float:
    """Probability that Student's t with ``freedom`` degrees of freedom is above ``value`` >= 0."""
    if math.isinf(value):
        return 0.0
    return 0.5 * _incomplete_beta(freedom / (freedom + value * value), freedom / 2, 0.5)


@lru_cache(maxsize=256)
def student_quantile(probability: float, freedom: float) -> float:
    """The value below which Student's t lies with ``probability``, in [0.5, 1), to 1e-12."""
    low, high = 0.0, 1.0
    while student_tail(high, freedom) > 1 - probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if student_tail(middle, freedom) > 1 - probability:
            low = middle
        else:
            high = middle
        if high - low < 1e-12 * high:
            break
    return (low + high) / 2


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error; NaN where there is none."""
    count = len(values)
    if count == 0:
        return math.nan, math.nan
    mean = math.fsum(values) / count
    if count == 1:
        return mean, math.nan
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return mean, math.sqrt(variance / count)


def _student(values: Sequence[float], of: Source) -> Interval:
    mean, error = _mean_and_error(values)
    width = math.nan if len(values) < 2 else student_quantile(0.975, len(values) - 1) * error
    return Interval(mean, mean - width, mean + width, of, len(values))


@lru_cache(maxsize=64)
def _bootstrap(hits: tuple[int, ...], totals: tuple[int, ...]) -> tuple[float, float]:
    """2.5 and 97.5 % of the accuracies of as many classes drawn anew; the same at every call."""
    import numpy as np

    count = len(totals)
    if count == 1:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    accuracies = (drawn @ np.asarray(hits)) / (drawn @ np.asarray(totals))
    low, high = np.quantile(accuracies, (0.025, 0.975))
    return float(low), float(high)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction converges quickly for the other tail
        return 1 - _incomplete_beta(1 - x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(log_front + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300  # Lentz's algorithm: no denominator is zero
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    fraction = d
    for m in range(1, 1000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + numerator * d) or tiny)
            c = (1 + numerator / c) or tiny
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return front * fraction
