"""How often the 95 % intervals of a study hold the truth, on voters whose preferences are known.

    python benchmarks/study_intervals.py [REPETITIONS]

The paper's size: 10 videos, 26 participants. `taste` is the spread over people of what they have for or against a
codec.
"""

import sys

import numpy as np

from pvc.study.intervals import wilson
from pvc.study.preference import Vote, fractions, overall
from pvc.study.simulate import Voters, videos_like

VIDEOS, PEOPLE, RESAMPLES = 10, 26, 300


def main(repetitions: int = 400) -> None:
    """Print the share of intervals that hold the truth, and their mean width."""
    print(f"{VIDEOS} videos, {PEOPLE} participants, {repetitions} studies a line; holds the truth (mean width)\n")
    heads = ["per video", "p. v. normal", "these videos", "as normal", "bootstrap", "independent", "like these"]
    print(f"{'mean':>5} {'videos':>6} {'taste':>5}  " + "  ".join(f"{head:>13}" for head in heads))
    for mean, spread, taste in ((0.64, 0.6, 0.0), (0.64, 0.6, 0.5), (0.64, 0.6, 1.0), (0.0, 0.6, 1.0), (2.0, 0.6, 1.0)):
        rng = np.random.default_rng(1)
        lines = [_study(mean, spread, taste, rng) for _ in range(repetitions)]
        table = np.array(lines).mean(0)
        cells = "  ".join(f"{100 * held:6.1f} ({width:.2f})" for held, width in table)
        print(f"{mean:5.2f} {spread:6.1f} {taste:5.1f}  {cells}")


def _study(mean: float, spread: float, taste: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    voters = Voters(videos_like(mean, spread, VIDEOS, rng), taste)
    votes = voters.ask(PEOPLE, rng)
    truth, here = voters.fractions, float(np.mean(list(voters.fractions.values())))
    anywhere = Voters({"any": mean}, float(np.hypot(spread, taste))).fractions["any"]
    pair = (voters.codec, voters.other)
    cells = []
    for method in ("wilson", "normal"):
        found = fractions(votes, *pair, method)
        held = np.mean([f.interval[0] <= truth[f.video] <= f.interval[1] for f in found])
        cells.append((float(held), float(np.mean([f.interval[1] - f.interval[0] for f in found]))))
    whole = overall(votes, *pair)
    intervals = [whole.interval, overall(votes, *pair, "normal").interval, _bootstrap(votes, voters.codec, rng)]
    intervals.append(wilson(whole.fraction, len(votes)))
    cells += [(float(low <= here <= high), high - low) for low, high in intervals]
    low, high = whole.interval_videos
    return [*cells, (float(low <= anywhere <= high), high - low)]


def _bootstrap(votes: list[Vote], codec: str, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles over resampled participants."""
    mean = np.array([v.winner == codec for v in votes]).reshape(PEOPLE, VIDEOS).mean(1)
    low, high = np.quantile(mean[rng.integers(PEOPLE, size=(RESAMPLES, PEOPLE))].mean(1), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
