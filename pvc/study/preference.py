"""How often one codec is preferred over another: per video, and over all of them as odds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from pvc.study.intervals import LEVEL, Interval, interval


@dataclass(frozen=True)
class Vote:
    """One answer of one participant: on ``video``, ``winner`` was preferred to ``loser`` (names of codecs)."""

    participant: str
    video: str
    winner: str
    loser: str


@dataclass(frozen=True)
class Fraction:
    """``wins`` of ``answers`` preferred the codec on ``video``; ``interval`` holds the fraction with 95 %."""

    video: str
    wins: int
    answers: int
    interval: Interval

    @property
    def value(self) -> float:
        """wins / answers."""
        return self.wins / self.answers


@dataclass(frozen=True)
class Overall:
    """A codec against another over all videos, each of which counts the same.

    Attributes:
        fraction: Mean over the videos of the fraction that preferred the codec.
        interval: Of ``fraction`` for these videos: participants are a sample, the videos are not.
        interval_videos: Of ``fraction`` for videos like these: both are samples; None for a single video.
        participants: How many answered.
        design_effect: Variance of ``fraction`` over what it were if all answers were independent.
    """

    fraction: float
    interval: Interval
    interval_videos: Interval | None
    participants: int
    design_effect: float

    @property
    def odds(self) -> float:
        """Odds of being preferred, p / (1 - p): the paper's '1.9 times more likely'; infinite at p = 1."""
        return odds(self.fraction)


def odds(p: float) -> float:
    """p / (1 - p)."""
    return math.inf if p == 1 else p / (1 - p)


def between(votes: Iterable[Vote], codec: str, other: str) -> list[Vote]:
    """The votes on pairs of these two codecs."""
    return [vote for vote in votes if {vote.winner, vote.loser} == {codec, other}]


def fractions(votes: Iterable[Vote], codec: str, other: str, method: str = "wilson") -> list[Fraction]:
    """For each video with answers on this pair, the fraction that preferred ``codec`` to ``other``, by name.

    Args:
        method: ``wilson``, or ``normal`` as in the annotation paper's figure 4. Both take a video's answers as
            independent, which they are: each participant answers once.
    """
    own = between(votes, codec, other)
    found = []
    for video in sorted({vote.video for vote in own}):
        wins = [vote.winner == codec for vote in own if vote.video == video]
        value = sum(wins) / len(wins)
        found.append(Fraction(video, sum(wins), len(wins), interval(method, value, len(wins))))
    return found


def overall(votes: Iterable[Vote], codec: str, other: str, method: str = "wilson") -> Overall | None:
    """``codec`` against ``other`` over all videos; None without votes, or with those of a single participant.

    Answers of one participant are not independent: some look at faces, some at grass. So the variance is the
    cluster-robust one, with participants as clusters. It needs no seed, and at the paper's size it holds the truth more
    often than a bootstrap over participants, which falls short of 95 % (``benchmarks/study_intervals.py``). The
    interval is Wilson's (or the normal one) at the number of independent answers that gives the same variance, with
    Student's quantile for the number of clusters; for odds its ends are mapped by p / (1 - p), which is monotone. For
    videos like these the variance is that of two crossed clusters (Cameron, Gelbach and Miller 2011, equation 2.8).
    """
    own = between(votes, codec, other)
    names, videos = _numbered(v.participant for v in own), _numbered(v.video for v in own)
    if len(names) < 2:
        return None
    who = np.array([names[v.participant] for v in own])
    what = np.array([videos[v.video] for v in own])
    won = np.array([v.winner == codec for v in own], dtype=float)
    count = np.bincount(what)
    by_video = np.bincount(what, won) / count
    p = float(by_video.mean())
    weight = 1 / (len(videos) * count[what])  # of each answer in p
    fixed = _clustered(weight * (won - by_video[what]), who)
    crossed = None
    if len(videos) > 1:
        residual = weight * (won - p)
        both = _clustered(residual, who) + _clustered(residual, what) - float((residual**2).sum())
        crossed = _interval(method, p, max(both, fixed, _clustered(residual, what)), min(len(names), len(videos)))
    independent = float((weight**2 * (by_video * (1 - by_video))[what]).sum())
    effect = fixed / independent if independent else 1.0
    return Overall(p, _interval(method, p, fixed, len(names)), crossed, len(names), effect)


def _interval(method: str, p: float, variance: float, clusters: int) -> Interval:
    """Of a fraction with this variance, estimated from so many clusters.

    Without variance (all agree) a cluster counts as one answer, whatever the number of its answers: the cautious end.
    """
    effective = p * (1 - p) / variance if variance > 0 else clusters
    return interval(method, p, effective, float(student.ppf(0.5 + LEVEL / 2, clusters - 1)))


def _clustered(parts: np.ndarray, cluster: np.ndarray) -> float:
    """Variance of the sum of ``parts`` (of mean 0) whose clusters are independent, with the usual n / (n - 1)."""
    sums = np.bincount(cluster, parts)
    return float((sums**2).sum() * len(sums) / (len(sums) - 1))


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def tally(found: Sequence[Fraction]) -> dict[str, int]:
    """On how many videos the codec is ahead, level and behind, and on how many ahead or behind beyond the interval."""
    return {
        "ahead": sum(f.value > 0.5 for f in found),
        "level": sum(f.value == 0.5 for f in found),
        "behind": sum(f.value < 0.5 for f in found),
        "surely_ahead": sum(f.interval[0] > 0.5 for f in found),
        "surely_behind": sum(f.interval[1] < 0.5 for f in found),
    }
