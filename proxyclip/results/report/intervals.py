"""Confidence interval of a mean of few values, by Student's t.

page/compare.js computes the same: what changes here changes there.
"""

import math
import statistics
from collections.abc import Sequence

MIN_INTERVAL_VALUES = 5  # of fewer the length of the interval is itself chance
_CONFIDENCE = 0.95
_NORMAL_QUANTILE = 1.959963984540054  # of 97.5 %
_MAX_SERIES_DEGREES = 200  # from there on the expansion is right to 12 digits
_STEPS = 60  # of the bisection


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the mean and half the length of its 95 % interval; None for fewer than MIN_INTERVAL_VALUES."""
    if len(values) < MIN_INTERVAL_VALUES:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), student_quantile(len(values) - 1) * error


def student_quantile(degrees: int) -> float:
    """Return t with a share of 95 % of Student's distribution between -t and t.

    Up to 200 degrees of freedom by bisection of the finite series of Abramowitz and Stegun (26.7.3, 26.7.4), above by
    their expansion (26.7.5).

    Raises:
        ValueError: less than one degree of freedom.
    """
    if degrees < 1:
        raise ValueError(f"Expected 1 degree of freedom or more, but got {degrees}")
    if degrees > _MAX_SERIES_DEGREES:
        return _expand_quantile(degrees)
    low, high = 0.0, math.pi / 2  # of the angle whose tangent is t / sqrt(degrees)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if _central_share(middle, degrees) > _CONFIDENCE else (middle, high)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _central_share(angle: float, degrees: int) -> float:
    """Share of the distribution between -t and t, for t = sqrt(degrees) * tan(angle)."""
    cosine = math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    share = math.sin(angle) * total
    return 2 / math.pi * (angle + share) if odd else share


def _expand_quantile(degrees: int) -> float:
    x = _NORMAL_QUANTILE
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / degrees**power for power, term in enumerate(terms, start=1))
