from fractions import Fraction

import numpy as np
import pytest

from pvc.data.hevc import Hevc
from pvc.errors import DataError
from pvc.video import write_clip, write_map
from tests.data.conftest import noise_clip, square_mask, write_pictures


@pytest.fixture
def root(tmp_path):
    """Sequences of three classes as raw files, pictures and mkv, at several depths, beside other clips."""
    for folder, name in (("C", "RaceHorses_832x480_30"), ("D/deep", "RaceHorses_416x240_30")):
        width, height = map(int, name.split("_")[1].split("x"))
        (tmp_path / folder).mkdir(parents=True)
        np.zeros(2 * width * height * 3 // 2, np.uint8).tofile(tmp_path / folder / f"{name}.yuv")
    write_pictures(tmp_path / "D" / "BasketballPass", noise_clip(0))
    write_clip(tmp_path / "Johnny.mkv", noise_clip(1), 25)
    write_map(tmp_path / "Johnny.mask.mkv", square_mask(), 25)
    write_clip(tmp_path / "holiday.mkv", noise_clip(2), 25)
    return tmp_path


def test_sequences_are_known_by_name_and_each_class_is_a_data_set(root):
    found = {(s.dataset, s.name): (s.frames, s.fps, s.has_mask) for s in Hevc(root).eval()}
    assert found == {
        ("HEVC class C", "RaceHorses_832x480_30"): (2, Fraction(30), False),
        ("HEVC class D", "RaceHorses_416x240_30"): (2, Fraction(30), False),
        ("HEVC class D", "BasketballPass"): (6, Fraction(50), False),
        ("HEVC class E", "Johnny"): (6, Fraction(25), True),
    }


def test_some_classes_only(root):
    assert {s.dataset for s in Hevc(root, classes="DE").eval()} == {"HEVC class D", "HEVC class E"}
    with pytest.raises(DataError, match="HEVC class X"):
        Hevc(root, classes=["X"])


def test_a_folder_without_them_says_how_they_are_called(clip_folder):
    with pytest.raises(DataError, match=r"BasketballPass_416x240_50\.yuv"):
        Hevc(clip_folder)
