"""Fractions, odds and their intervals: known values, and coverage on voters whose preference is known."""

import math

import numpy as np
import pytest

from pvc.study.intervals import normal, wilson
from pvc.study.preference import Vote, fractions, odds, overall, tally
from pvc.study.simulate import Voters, videos_like

PAIR = ("importance", "baseline")


def test_wilson_is_the_published_interval():
    # Newcombe 1998, table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    for (k, n), expected in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson(k / n, n) == pytest.approx(expected, abs=5e-5)


def test_normal_is_the_published_interval_and_has_no_width_at_the_ends():
    # Newcombe 1998, table I, method 1
    assert normal(81 / 263, 263) == pytest.approx((0.2522, 0.3638), abs=5e-5)
    assert normal(0, 20) == (0.0, 0.0)


def test_the_papers_odds():
    assert odds(19 / 29) == pytest.approx(1.9)
    assert odds(0.5) == 1 and odds(0) == 0 and odds(1) == math.inf


def test_fractions_are_of_each_video_and_of_the_pair_alone():
    votes = [Vote(f"p{k}", "a", *(PAIR if k < 3 else PAIR[::-1])) for k in range(4)]
    votes += [Vote("p0", "b", *PAIR), Vote("p0", "a", "importance", "blur")]
    found = fractions(votes, *PAIR)
    assert [(f.video, f.wins, f.answers) for f in found] == [("a", 3, 4), ("b", 1, 1)]
    assert tally(found) == {"ahead": 2, "level": 0, "behind": 0, "surely_ahead": 0, "surely_behind": 0}


def test_with_independent_answers_clustering_changes_little():
    votes = Voters({"a": 0.5, "b": 0.5}).ask(4000, np.random.default_rng(0))
    whole = overall(votes, *PAIR)
    assert whole.interval == pytest.approx(wilson(whole.fraction, len(votes)), abs=1.5e-3)
    assert whole.design_effect == pytest.approx(1, abs=0.06)


def test_copies_of_an_answer_are_no_evidence():
    """Ten videos that everybody judges alike tell as much as one."""
    rng = np.random.default_rng(3)
    once = Voters({"v0": 0.4}).ask(30, rng)
    copied = [Vote(v.participant, f"v{k}", v.winner, v.loser) for v in once for k in range(10)]
    one, ten = overall(once, *PAIR), overall(copied, *PAIR)
    assert ten.interval == pytest.approx(one.interval)
    assert ten.design_effect == pytest.approx(10 * one.design_effect)


def test_an_unanimous_vote_has_finite_lower_odds():
    votes = Voters({f"v{k}": 40.0 for k in range(5)}).ask(20, np.random.default_rng(0))
    whole = overall(votes, *PAIR)
    assert whole.fraction == 1 and whole.odds == math.inf and whole.interval[1] == 1
    assert 0.7 < whole.interval[0] < 0.9  # of 20 people, not of 100 answers


def test_one_participant_gives_no_interval():
    assert overall(Voters({"a": 0.0, "b": 1.0}).ask(1, np.random.default_rng(0)), *PAIR) is None
    assert overall([], *PAIR) is None


def test_somebody_who_saw_half_of_the_videos_weighs_no_video_up():
    """The overall fraction is the mean over videos, however many answered each."""
    votes = [Vote(f"p{k}", "a", *PAIR) for k in range(30)] + [Vote(f"p{k}", "b", *PAIR[::-1]) for k in range(10)]
    assert overall(votes, *PAIR).fraction == 0.5


@pytest.mark.parametrize("taste", [0.0, 1.0])
def test_known_preferences_are_found_and_intervals_hold_them_as_often_as_they_say(taste):
    rng = np.random.default_rng(11)
    held, held_anywhere, per_video, naive, estimates, truths = [], [], [], [], [], []
    for _ in range(300):
        voters = Voters(videos_like(0.64, 0.6, 10, rng), taste)
        votes = voters.ask(26, rng)
        truth, here = voters.fractions, np.mean(list(voters.fractions.values()))
        whole = overall(votes, *PAIR)
        anywhere = Voters({"any": 0.64}, float(np.hypot(0.6, taste))).fractions["any"]
        held.append(whole.interval[0] <= here <= whole.interval[1])
        held_anywhere.append(whole.interval_videos[0] <= anywhere <= whole.interval_videos[1])
        per_video += [f.interval[0] <= truth[f.video] <= f.interval[1] for f in fractions(votes, *PAIR)]
        low, high = wilson(whole.fraction, len(votes))
        naive.append(low <= here <= high)
        estimates.append(whole.fraction)
        truths.append(here)
    assert np.mean(estimates) == pytest.approx(np.mean(truths), abs=0.01)
    assert 0.92 <= np.mean(held) <= 0.98
    assert 0.93 <= np.mean(per_video) <= 0.97
    assert 0.92 <= np.mean(held_anywhere) <= 0.995
    if taste:
        assert np.mean(naive) < 0.87  # what taking all answers as independent would claim
