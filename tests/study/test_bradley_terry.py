"""Bradley-Terry strengths: published values, undefeated codecs, coverage."""

import math

import numpy as np
import pytest

from pvc.errors import DataError
from pvc.study.bradley_terry import fit
from pvc.study.preference import Vote
from pvc.study.simulate import strengths_vote

TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
WINS = (
    (0, 7, 9, 7, 7, 9, 11),
    (6, 0, 7, 5, 11, 9, 9),
    (4, 6, 0, 7, 7, 8, 12),
    (6, 8, 6, 0, 6, 7, 10),
    (6, 2, 6, 7, 0, 7, 12),
    (4, 4, 5, 6, 6, 0, 6),
    (2, 4, 1, 3, 1, 7, 0),
)


def votes_of(wins, names) -> list[Vote]:
    """One participant a vote."""
    table = [(i, j) for i, row in enumerate(wins) for j, count in enumerate(row) for _ in range(count)]
    return [Vote(str(k), "game", names[i], names[j]) for k, (i, j) in enumerate(table)]


def test_the_american_league_of_1987():
    """Agresti, Categorical Data Analysis, table 10.10 (baseball) and the fitted strengths beside it."""
    found = fit(votes_of(WINS, TEAMS), TEAMS, "Baltimore")
    assert [s.codec for s in found.strengths] == list(TEAMS)
    values = [s.value for s in found.strengths]
    assert values == pytest.approx([1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0], abs=1e-3)
    assert not found.penalised and found.strengths[-1].interval is None
    # Agresti's standard error of Milwaukee is 0.343; the sandwich's is close to it, as games are independent.
    low, high = found.strengths[0].interval
    assert (high - low) / 2 / 1.97 == pytest.approx(0.343, abs=0.02)


def test_the_order_of_names_does_not_matter():
    votes = votes_of(WINS, TEAMS)
    one, other = fit(votes, TEAMS, "Boston"), fit(votes[::-1], TEAMS[::-1], "Boston")
    assert [s.codec for s in one.strengths] == [s.codec for s in other.strengths]
    assert [s.value for s in one.strengths] == pytest.approx([s.value for s in other.strengths])


def test_a_codec_that_never_lost_is_strong_but_not_infinite():
    votes = votes_of(((0, 10), (0, 0)), ("a", "b"))
    found = fit(votes, ("a", "b"), "b")
    assert found.penalised
    assert found.strengths[0].value == pytest.approx(math.log(10.5 / 0.5))  # Firth: half a win to either
    low, high = found.strengths[0].interval
    assert 0 < low < found.strengths[0].value < high < 10


def test_an_undefeated_codec_leaves_the_others_as_they_are():
    ahead = ((0, 20, 20), (0, 0, 15), (0, 5, 0))
    found = {s.codec: s.value for s in fit(votes_of(ahead, "abc"), "abc", "c").strengths}
    assert found["b"] == pytest.approx(math.log(15 / 5), abs=0.15)
    assert 2 < found["a"] - found["b"] < 6


def test_codecs_that_nobody_compared_have_no_common_scale():
    votes = [Vote("p", "v", "a", "b"), Vote("p", "v", "b", "a"), Vote("p", "v", "c", "d")]
    with pytest.raises(DataError, match="no answers connect c, d with b"):
        fit(votes, "abcd", "b")


def test_known_strengths_are_found_and_intervals_hold_them_as_often_as_they_say():
    rng, truth = np.random.default_rng(5), (0.8, 0.3, 0.0)
    held, values = [], []
    for _ in range(150):
        found = {s.codec: s for s in fit(strengths_vote(truth, 20, 5, rng), ("c0", "c1", "c2"), "c2").strengths}
        values.append([found[f"c{k}"].value for k in range(2)])
        held += [found[f"c{k}"].interval[0] <= truth[k] <= found[f"c{k}"].interval[1] for k in range(2)]
    assert np.mean(values, 0) == pytest.approx(truth[:2], abs=0.05)
    assert 0.91 <= np.mean(held) <= 0.985
