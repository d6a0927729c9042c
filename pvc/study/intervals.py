"""95 % intervals of a fraction."""

import math

from scipy.stats import norm

LEVEL = 0.95
Z = float(norm.ppf(0.5 + LEVEL / 2))
"""Quantile of the standard normal distribution: 1.96."""

METHODS = ("wilson", "normal")
Interval = tuple[float, float]


def wilson(p: float, n: float, z: float = Z) -> Interval:
    """Wilson's score interval of a fraction ``p`` of ``n`` answers (Wilson 1927).

    It never leaves [0, 1] and has a width at ``p`` of 0 and 1, too. ``n`` may be an effective number.
    """
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    return (0.0 if p == 0 else max(low, 0.0)), (1.0 if p == 1 else min(high, 1.0))


def normal(p: float, n: float, z: float = Z) -> Interval:
    """The normal approximation p ± z sqrt(p (1 - p) / n), cut at 0 and 1: the annotation paper's, section IV.C.

    Of no width at ``p`` of 0 and 1, and too narrow near them.
    """
    half = z * math.sqrt(p * (1 - p) / n)
    return max(p - half, 0.0), min(p + half, 1.0)


def interval(method: str, p: float, n: float, z: float = Z) -> Interval:
    """``wilson`` or ``normal``, by name."""
    return {"wilson": wilson, "normal": normal}[method](p, n, z)
