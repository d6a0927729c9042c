"""A report of a study that never took place: simulated voters, through the same database and rules as real ones.

    python benchmarks/study_example.py OUT

As in the annotation paper there are ten videos, three sanity pairs and 40 participants, some of whom do not look. The
figures of OUT are those of docs/study.md.
"""

import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from pvc.study import report
from pvc.study.ballot import load_ballots
from pvc.study.plan import Pair, Side, Study
from pvc.study.result import evaluate
from pvc.study.simulate import Clock, Voters, take_part
from pvc.study.store import open_store
from pvc.study.taking_part import Desk

LOG_ODDS = dict(zip("ABCDEFGHIJ", (2.0, 1.6, 1.4, 1.2, 1.1, 0.9, 0.8, 0.0, -0.5, -0.9), strict=True))
TASTE = 0.7
PEOPLE, CARELESS, LEAVE = 40, 11, 2


def main(out: str = "study-example") -> None:
    """Ask the voters and write the report."""
    videos = {f"video {name}": x for name, x in LOG_ODDS.items()}
    study = Study("0" * 32, "SIMULATED voters", "Which video looks better?", ("importance", "baseline"), _pairs(videos))
    rng, clock = np.random.default_rng(7), Clock()
    with tempfile.TemporaryDirectory() as folder:
        sessions = open_store(Path(folder))
        desk = Desk(study, sessions, clock, random.Random(1))
        for number in range(PEOPLE):
            votes = {vote.video: vote.winner for vote in Voters(videos, TASTE).ask(1, rng)}
            careless = number % (PEOPLE // CARELESS) == 1 and number // (PEOPLE // CARELESS) < CARELESS

            def prefers(pair: Pair, votes: dict = votes, careless: bool = careless) -> str:
                if careless:
                    return pair.sides[rng.integers(2)].codec
                return pair.better or votes[pair.video]

            take_part(desk, clock, f"worker-{number}", prefers, 4 if number >= PEOPLE - LEAVE else None)
        result = evaluate(study, load_ballots(study, sessions))
        sessions.engine.dispose()
    print(report.write(result, Path(out)))
    print(f"true mean of the fractions: {np.mean(list(Voters(videos, TASTE).fractions.values())):.3f}")


def _pairs(videos: dict[str, float]) -> tuple[Pair, ...]:
    about = {"width": 800, "height": 450, "fps": "30", "frames": 150}
    tests = [
        Pair(f"p{k:03d}", video, (Side("importance", "", 300.0), Side("baseline", "", 300.0)), **about)
        for k, video in enumerate(videos, 1)
    ]
    checks = [
        Pair(f"p{k:03d}", video, (Side("good", "", None), Side("bad", "", None)), **about, better="good")
        for k, video in enumerate(list(videos)[1::4], len(videos) + 1)
    ]
    return (*tests, *checks)


if __name__ == "__main__":
    main(*sys.argv[1:])
