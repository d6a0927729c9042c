"""What participants are shown: everything once, in balance."""

import random
from collections import Counter

from pvc.study.draw import draw
from tests.study.conftest import paper_study

REPEATS = 400


def test_everybody_sees_every_pair_once_with_each_side_as_often():
    study, rng = paper_study(), random.Random(0)
    for _ in range(50):
        order = draw(study, {}, rng)
        assert sorted(pair.id for pair, _ in order) == sorted(pair.id for pair in study.pairs)
        lefts = Counter(left for pair, left in order if pair.better is None)
        assert lefts == {"importance": 5, "baseline": 5}
        good = sum(left == "good" for pair, left in order if pair.better)
        assert good in (1, 2)


def test_each_pair_stands_everywhere_and_on_both_sides_as_often():
    study, rng = paper_study(), random.Random(1)
    first, left = Counter(), Counter()
    for _ in range(REPEATS):
        order = [(pair, side) for pair, side in draw(study, {}, rng) if pair.better is None]
        first[order[0][0].id] += 1
        left.update(pair.id for pair, side in order if side == "importance")
    # Binomial: 40 +- 6 and 200 +- 10; five standard deviations.
    assert all(10 <= first[pair.id] <= 70 for pair in study.tests)
    assert all(150 <= left[pair.id] <= 250 for pair in study.tests)


def test_sanity_pairs_are_spread_over_the_whole():
    study, rng = paper_study(videos=9, sanity=3), random.Random(2)
    places = Counter()
    for _ in range(REPEATS):
        order = draw(study, {}, rng)
        where = [index for index, (pair, _) in enumerate(order) if pair.better]
        assert [index // 4 for index in where] == [0, 1, 2]  # one in each third
        places.update(where)
    assert set(places) == set(range(12))  # anywhere in it


def test_a_share_of_the_pairs_is_dealt_evenly():
    study, rng, shown = paper_study(per_participant=4), random.Random(3), Counter()
    for _ in range(25):
        order = draw(study, shown, rng)
        assert len(order) == 4 + 3
        shown.update(pair.id for pair, _ in order)
    assert {shown[pair.id] for pair in study.tests} == {10}


def test_without_sanity_pairs_or_with_more_of_them_than_others_all_are_shown():
    for videos, sanity in ((5, 0), (2, 5), (1, 1)):
        study = paper_study(videos, sanity)
        assert len(draw(study, {}, random.Random(4))) == videos + sanity
