"""What a study found, as numbers."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pvc.errors import ConfigError, DataError
from pvc.study.ballot import Ballot
from pvc.study.bradley_terry import BradleyTerry, fit
from pvc.study.intervals import METHODS, wilson
from pvc.study.plan import Study
from pvc.study.preference import Fraction, Overall, Vote, fractions, odds, overall, tally


@dataclass(frozen=True)
class Comparison:
    """One codec against the baseline: on each video, and over all (None with fewer than two participants)."""

    codec: str
    baseline: str
    videos: list[Fraction]
    overall: Overall | None

    @property
    def tally(self) -> dict[str, int]:
        """Numbers of videos by who is ahead."""
        return tally(self.videos)


@dataclass(frozen=True)
class Result:
    """All that a report says.

    Attributes:
        method: Of the intervals of fractions: ``wilson`` or ``normal``.
        comparisons: Of each codec with the baseline that anybody was asked about.
        strengths: Bradley-Terry, of more than two codecs; None of two.
        left: Of all counted answers, those for the video on the left (or first).
        notes: What a reader of the numbers should know.
    """

    study: Study
    method: str
    ballots: list[Ballot]
    comparisons: list[Comparison]
    strengths: BradleyTerry | None
    left: Fraction
    notes: list[str]

    @property
    def counted(self) -> list[Ballot]:
        """Those whose answers count."""
        return [ballot for ballot in self.ballots if ballot.excluded is None]

    @property
    def excluded(self) -> list[Ballot]:
        """Those whose answers do not."""
        return [ballot for ballot in self.ballots if ballot.excluded is not None]


def evaluate(study: Study, ballots: Sequence[Ballot], method: str = "wilson") -> Result:
    """The numbers of a study.

    Raises:
        ConfigError: no such method of intervals.
        DataError: there is no answer that counts.
    """
    if method not in METHODS:
        raise ConfigError(f"there are no {method!r} intervals; choose one of {', '.join(METHODS)}")
    counted = [ballot for ballot in ballots if ballot.excluded is None]
    votes = [vote for ballot in counted for vote in ballot.votes()]
    if not votes:
        out = f"{len(ballots)} took part, none of whose answers count" if ballots else "nobody has taken part"
        raise DataError(f"{study.title}: there is nothing to report yet, {out} ({_why_not(ballots)})")
    notes = list(study.notes)
    comparisons = []
    for codec in study.codecs[:-1]:
        videos = fractions(votes, codec, study.baseline, method)
        if videos:
            comparisons.append(Comparison(codec, study.baseline, videos, overall(votes, codec, study.baseline, method)))
    if len({vote.participant for vote in votes}) < 2:
        notes.append("a single participant: nothing can be said about people at large, so there is no overall interval")
    return Result(
        study, method, list(ballots), comparisons, _strengths(study, votes, notes), _left(counted), notes
    )  # fmt: skip


def _strengths(study: Study, votes: Sequence[Vote], notes: list[str]) -> BradleyTerry | None:
    if len(study.codecs) < 3:
        return None
    try:
        return fit(votes, study.codecs, study.baseline)
    except DataError as error:
        notes.append(f"no Bradley-Terry strengths: {error}")
        return None


def _left(counted: Sequence[Ballot]) -> Fraction:
    """Should be near one half: a side that is preferred for being that side weakens every preference."""
    choices = [trial.choice for ballot in counted for trial, pair in ballot.answered if pair.better is None]
    wins = sum(choice == "left" for choice in choices)
    return Fraction("", wins, len(choices), wilson(wins / len(choices), len(choices)))


def _why_not(ballots: Sequence[Ballot]) -> str:
    reasons = sorted({ballot.excluded.split(" (")[0] for ballot in ballots if ballot.excluded})
    return f"excluded: {', '.join(reasons)}" if reasons else "start it with pvc study serve"


def as_json(result: Result) -> dict[str, Any]:
    """The result for ``report.json``; infinite odds are the string ``"inf"``."""
    study = result.study
    return {
        "study": {"id": study.id, "title": study.title, "question": study.question, "codecs": list(study.codecs)},
        "rules": asdict(study.rules),
        "interval": {"level": 0.95, "method": result.method},
        "participants": {
            "joined": len(result.ballots),
            "counted": len(result.counted),
            "excluded": [{"participant": b.participant, "rule": b.excluded} for b in result.excluded],
        },
        "sanity_pairs": len(study.sanity),
        "left_chosen": _fraction(result.left),
        "comparisons": [
            {
                "codec": one.codec,
                "baseline": one.baseline,
                "videos": [{"video": f.video, **_fraction(f)} for f in one.videos],
                "tally": one.tally,
                "overall": None if one.overall is None else _overall(one.overall),
            }
            for one in result.comparisons
        ],
        "bradley_terry": None if result.strengths is None else asdict(result.strengths),
        "notes": result.notes,
    }


def _fraction(found: Fraction) -> dict[str, Any]:
    return {"wins": found.wins, "answers": found.answers, "fraction": found.value, "interval": list(found.interval)}


def _overall(found: Overall) -> dict[str, Any]:
    return {
        "fraction": found.fraction,
        "interval": list(found.interval),
        "interval_videos": found.interval_videos and list(found.interval_videos),
        "odds": _number(found.odds),
        "odds_interval": [_number(odds(p)) for p in found.interval],
        "odds_interval_videos": found.interval_videos and [_number(odds(p)) for p in found.interval_videos],
        "participants": found.participants,
        "design_effect": found.design_effect,
    }


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else "inf"
