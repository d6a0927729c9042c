"""Voters whose preferences are known, to see what a report makes of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pvc.study.plan import Pair
from pvc.study.preference import Vote
from pvc.study.taking_part import Answer, Desk
from pvc.web.access import hashed

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)


@dataclass(frozen=True)
class Voters:
    """People who prefer ``codec`` to ``other`` on a video with probability 1 / (1 + exp(-(log-odds + taste))).

    Attributes:
        log_odds: Of each video, for someone of average taste.
        taste: Standard deviation over people of what they have for or against the codec on all videos; above 0 the
            answers of one person are alike.
    """

    log_odds: Mapping[str, float]
    taste: float = 0.0
    codec: str = "importance"
    other: str = "baseline"

    @property
    def fractions(self) -> dict[str, float]:
        """Of all people, those who prefer the codec, by video."""
        # Gauss-Hermite quadrature over taste, of weight exp(-x^2 / 2)
        return {
            video: float((_WEIGHTS / (1 + np.exp(-x - self.taste * _NODES))).sum() / _WEIGHTS.sum())
            for video, x in self.log_odds.items()
        }

    def ask(self, participants: int, rng: np.random.Generator) -> list[Vote]:
        """The votes of so many of them on every video."""
        x = np.array(list(self.log_odds.values())) + self.taste * rng.standard_normal((participants, 1))
        prefers = rng.random(x.shape) < 1 / (1 + np.exp(-x))
        sides = ((self.other, self.codec), (self.codec, self.other))
        return [
            Vote(f"p{who}", video, *sides[int(prefers[who, column])])
            for who in range(participants)
            for column, video in enumerate(self.log_odds)
        ]


def videos_like(mean: float, spread: float, count: int, rng: np.random.Generator) -> dict[str, float]:
    """Log-odds of ``count`` videos, normally distributed."""
    return {f"video-{k}": float(x) for k, x in enumerate(mean + spread * rng.standard_normal(count))}


def strengths_vote(strengths: Sequence[float], participants: int, videos: int, rng: np.random.Generator) -> list[Vote]:
    """The votes of people on every pair of codecs ``c0``, ``c1``, ... of these Bradley-Terry strengths."""
    votes = []
    for who in range(participants):
        for video in range(videos):
            for i in range(len(strengths)):
                for j in range(i + 1, len(strengths)):
                    first = rng.random() < 1 / (1 + np.exp(strengths[j] - strengths[i]))
                    winner, loser = (i, j) if first else (j, i)
                    votes.append(Vote(f"p{who}", f"v{video}", f"c{winner}", f"c{loser}"))
    return votes


class Clock:
    """A clock that stands still until it is set on."""

    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


def take_part(desk: Desk, clock: Clock, who: str, prefers: Callable[[Pair], str], pairs: int | None = None) -> None:
    """Let the participant ``who`` see and answer pairs at ``desk`` (whose clock is ``clock``) as the page does.

    Args:
        prefers: Gives the codec that they prefer, of a pair.
        pairs: After how many they leave; None: not before the end.
    """
    participant = desk.join(cookie=hashed(who), worker=who)
    for trial in participant.trials[:pairs]:
        pair = desk.study.pair(trial.pair)
        desk.open(hashed(who), trial.position)
        clock.now += 2 * pair.seconds + 3
        choice = "left" if prefers(pair) == trial.left else "right"
        desk.answer(hashed(who), trial.position, Answer(choice, 2, 2, 0, "side-by-side", 1.0, 2 * pair.seconds + 3))
