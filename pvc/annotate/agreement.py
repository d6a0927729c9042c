"""How much those who painted a clip agree: Pearson's correlation of their maps over all cells and frames.

``leave_one_out`` is the standard of research on where people look (inter-observer congruency): each person's map
against the mean map of all others, which is what a model that predicts the mean could hope to reach. ``pairwise`` is
each against each; it is lower, as both sides have one person's chance in them, and does not grow with the number of
people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from pvc.annotate.maps import Values
from pvc.errors import ImportanceError


@dataclass(frozen=True)
class Agreement:
    """Of one clip.

    Attributes:
        people: how many painted it.
        leave_one_out: of each of them, in the order given; None for a map without differences.
        pairwise: ``[people, people]``, NaN where one has no differences; 1 on the diagonal.
    """

    people: int
    leave_one_out: list[float | None]
    pairwise: NDArray[np.float64]

    @property
    def mean_leave_one_out(self) -> float | None:
        """Mean over the people, None if nobody has one."""
        known = [value for value in self.leave_one_out if value is not None]
        return float(np.mean(known)) if known else None

    @property
    def mean_pairwise(self) -> float | None:
        """Mean over the pairs, None if there is none."""
        pairs = [self.pairwise[i, j] for i, j in combinations(range(self.people), 2)]
        known = [value for value in pairs if not np.isnan(value)]
        return float(np.mean(known)) if known else None


def agreement(maps: Sequence[Values]) -> Agreement:
    """The agreement of the people who painted ``maps`` (uint8 ``[T, h, w]`` each, of one clip).

    Raises:
        ImportanceError: maps of different sizes.
    """
    if len({m.shape for m in maps}) > 1:
        raise ImportanceError(f"maps of different sizes: {', '.join(str(m.shape) for m in maps)}")
    flat = [_standardised(m) for m in maps]
    pairwise = np.full((len(maps), len(maps)), np.nan)
    for (i, a), (j, b) in combinations_with_replacement(enumerate(flat), 2):
        pairwise[i, j] = pairwise[j, i] = _dot(a, b)
    total = np.sum([m.ravel().astype(np.float64) for m in maps], axis=0)
    alone = []
    for m, own in zip(maps, flat, strict=True):
        value = _dot(own, _standardised(total - m.ravel())) if len(maps) > 1 else np.nan
        alone.append(None if np.isnan(value) else value)
    return Agreement(len(maps), alone, pairwise)


def average(maps: Sequence[Values]) -> Values:
    """The mean map of several people, rounded: what the paper's study coded with (section IV.C)."""
    return np.floor(np.mean([m.astype(np.float64) for m in maps], axis=0) + 0.5).astype(np.uint8)


def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    # Summed in doubles: over the millions of cells of a clip singles are off in the fourth digit.
    return float(np.einsum("i,i->", a, b, dtype=np.float64))


def _standardised(values: NDArray) -> NDArray[np.float32]:
    """Mean 0, length 1; NaN if all are equal."""
    centred = values.ravel().astype(np.float64) - values.mean(dtype=np.float64)
    length = np.linalg.norm(centred)
    return (centred / length if length > 1e-9 else np.full(centred.shape, np.nan)).astype(np.float32)
