"""Bradley-Terry: one strength a codec from all pairs, P(i preferred to j) = 1 / (1 + exp(strength_j - strength_i))."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm
from scipy.stats import t as student

from pvc.errors import DataError
from pvc.study.intervals import LEVEL, Interval
from pvc.study.preference import Vote

STEPS, DONE = 200, 1e-10


@dataclass(frozen=True)
class Strength:
    """Of one codec, as log-odds of being preferred to the baseline (whose own is 0, without interval)."""

    codec: str
    value: float
    interval: Interval | None

    @property
    def odds(self) -> float:
        """Odds of being preferred to the baseline."""
        return math.exp(self.value)


@dataclass(frozen=True)
class BradleyTerry:
    """Strengths, the strongest first. ``penalised``: the likelihood alone has no maximum (see :func:`fit`)."""

    strengths: list[Strength]
    penalised: bool


def fit(votes: Sequence[Vote], codecs: Sequence[str], baseline: str) -> BradleyTerry:
    """Strengths of ``codecs`` relative to ``baseline``, by maximum likelihood (Bradley and Terry 1952).

    The maximum is finite only if from each codec to each other there is a chain of wins (Ford 1957). Where there is
    none, as for a codec that never lost, Firth's penalty (half the log determinant of the information, 1993) is added,
    which makes it finite: for two codecs it is half a win to either.

    Intervals are 95 % ones of Wald: with the sandwich covariance clustered by participant and Student's quantile, or
    with the inverse information where the penalty was needed, for the sandwich is near 0 where nobody disagrees.

    Raises:
        DataError: the codecs fall into groups that nobody compared.
    """
    place = {codec: index for index, codec in enumerate(codecs)}
    wins = np.zeros((len(codecs), len(codecs)))
    for vote in votes:
        wins[place[vote.winner], place[vote.loser]] += 1
    groups, label = connected_components(wins, directed=True, connection="weak")
    if groups > 1:
        apart = [codec for codec in codecs if label[place[codec]] != label[place[baseline]]]
        raise DataError(f"no answers connect {', '.join(apart)} with {baseline}; strengths need pairs that link them")
    penalised = connected_components(wins, directed=True, connection="strong")[0] > 1
    free = [index for index, codec in enumerate(codecs) if codec != baseline]
    strength = _maximum(wins, free, penalised)
    covariance = np.linalg.inv(_information(wins, strength)[np.ix_(free, free)])
    names = {name: number for number, name in enumerate(dict.fromkeys(v.participant for v in votes))}
    quantile = float(norm.ppf(0.5 + LEVEL / 2))
    if not penalised and len(names) > 1:
        scores = np.zeros((len(names), len(codecs)))
        for vote in votes:
            i, j = place[vote.winner], place[vote.loser]
            surprise = 1 / (1 + math.exp(strength[i] - strength[j]))
            scores[names[vote.participant], i] += surprise
            scores[names[vote.participant], j] -= surprise
        meat = scores[:, free].T @ scores[:, free] * len(names) / (len(names) - 1)
        covariance = covariance @ meat @ covariance
        quantile = float(student.ppf(0.5 + LEVEL / 2, len(names) - 1))
    half = dict(zip(free, quantile * np.sqrt(np.diag(covariance))))
    found = [
        Strength(codec, float(x), (float(x - half[i]), float(x + half[i])) if i in half else None)
        for i, (codec, x) in enumerate(zip(codecs, strength))
    ]
    return BradleyTerry(sorted(found, key=lambda s: -s.value), penalised)


def _chances(strength: np.ndarray) -> np.ndarray:
    """``[i, j]``: the probability that i is preferred to j."""
    return 1 / (1 + np.exp(strength[None, :] - strength[:, None]))


def _information(wins: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Fisher information of all strengths (singular: only differences count)."""
    p = _chances(strength)
    weight = (wins + wins.T) * p * (1 - p)
    return np.diag(weight.sum(1)) - weight


def _maximum(wins: np.ndarray, free: Sequence[int], penalised: bool) -> np.ndarray:
    """Strengths of greatest (penalised) likelihood by Newton's method, those that are not ``free`` at 0."""
    strength, compared = np.zeros(len(wins)), wins + wins.T
    for _ in range(STEPS):
        p = _chances(strength)
        inverse = np.zeros_like(wins)
        inverse[np.ix_(free, free)] = np.linalg.inv(_information(wins, strength)[np.ix_(free, free)])
        counted = wins
        if penalised:
            # Firth's score: each answer adds its leverage h, as half a win to either side.
            spread = np.diag(inverse)[:, None] + np.diag(inverse)[None, :] - 2 * inverse
            leverage = compared * p * (1 - p) * spread
            counted = wins + leverage / 2
        score = (counted - (counted + counted.T) * p).sum(1)
        step = inverse @ score
        strength = strength + step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-300))
        if np.abs(step).max() < DONE:
            return strength
    raise DataError("the strengths of the codecs do not settle; there are too few answers for them")
