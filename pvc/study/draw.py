"""What one participant is shown: which pairs, in which order, with which codec on the left."""

import random
from collections.abc import Mapping

from pvc.study.plan import Pair, Study


def draw(study: Study, shown: Mapping[str, int], rng: random.Random) -> list[tuple[Pair, str]]:
    """Pairs in the order in which they are shown, each with the codec on the left (or first).

    Of the test pairs those that were shown least come first in turn, ties by lot. Their order is random; the sanity
    pairs stand one in each of as many stretches of equal length, at a random place, so that attention is checked all
    along. In half of the test pairs (and of the sanity pairs) the first codec stands left, by lot in which, so that
    somebody who always answers 'left' prefers nothing.

    Args:
        shown: How often each pair (by its id) was given to a participant so far.
    """
    tests = rng.sample(study.tests, len(study.tests))
    if study.per_participant is not None:
        tests.sort(key=lambda pair: shown.get(pair.id, 0))  # stable, so that ties stay shuffled
        tests = tests[: study.per_participant]
        rng.shuffle(tests)
    checks = rng.sample(study.sanity, len(study.sanity))
    order: list[Pair] = []
    for number, check in enumerate(checks):
        start, end = (len(tests) * k // len(checks) for k in (number, number + 1))
        stretch = tests[start:end]
        stretch.insert(rng.randint(0, len(stretch)), check)
        order += stretch
    if not checks:
        order = tests
    left = {pair.id: side for group in (tests, checks) for pair, side in zip(group, _halves(len(group), rng))}
    return [(pair, pair.sides[left[pair.id]].codec) for pair in order]


def _halves(count: int, rng: random.Random) -> list[int]:
    """0 and 1, equally often (or one more of either), in random order."""
    sides = [0, 1] * (count // 2) + [rng.randint(0, 1)] * (count % 2)
    rng.shuffle(sides)
    return sides
