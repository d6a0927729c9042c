"""Damaged streams of every kind give frames or a BitstreamError; a slice of what `benchmarks/fuzz.py` runs."""

from collections import Counter

import pytest

from benchmarks.fuzz import MUTATIONS, OUTCOMES, READINGS, Material, run_case


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Material:
    return Material(tmp_path_factory.mktemp("material"))


def test_nothing_but_frames_or_a_bitstream_error_comes_of_damage(material):
    """200 cases, the same each time; among them are all ways to damage, to read, and to end."""
    seen = [run_case(material, number) for number in range(200)]
    mutations, readings, outcomes = map(Counter, zip(*seen))
    assert set(mutations) == {m.__name__ for m in MUTATIONS}
    assert set(readings) == set(READINGS) and set(outcomes) == set(OUTCOMES)
