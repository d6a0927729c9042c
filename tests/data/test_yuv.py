from fractions import Fraction

import pytest
import torch

from pvc.data.yuv import YuvFolder
from pvc.errors import DataError, PvcError
from pvc.video import read_clip, write_clip, write_map


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "ctc"
    (root / "ClassD").mkdir(parents=True)
    ramp = torch.arange(64, dtype=torch.uint8).mul(3).expand(5, 3, 48, 64).contiguous()
    write_clip(root / "ClassD" / "Ball_64x48_50.yuv", ramp, Fraction(50))
    write_clip(root / "Race_64x48_30.yuv", ramp.flip(-1), Fraction(30))
    write_map(root / "ClassD" / "Ball_64x48_50.mask.mkv", torch.ones(5, 1, 48, 64), Fraction(50))
    return root


def test_size_and_rate_come_from_the_names(folder):
    ball, race = YuvFolder(folder).eval()
    assert (ball.frames, ball.height, ball.width, ball.fps) == (5, 48, 64, 50) and race.fps == 30
    assert torch.equal(ball.read(2, 2), read_clip(folder / "ClassD" / "Ball_64x48_50.yuv", 2, 2))
    assert ball.has_mask and not race.has_mask and ball.read_mask().min() == 1


def test_arguments_reach_the_reader(folder):
    (folder / "Race_64x48_30.yuv").rename(folder / "Race.yuv")
    with pytest.raises(PvcError, match="Race"):
        YuvFolder(folder).eval()
    assert YuvFolder(folder, width=64, height=48, fps=60, only=["Race"]).eval()[0].fps == 60


def test_the_cache_gives_the_same_frames(folder, tmp_path):
    cached, direct = (YuvFolder(folder, cache=c, val=1) for c in (tmp_path / "cache", None))
    assert torch.equal(cached.train()[0].read(), direct.train()[0].read())
    assert [s.name for s in cached.val()] == ["Race_64x48_30"]


def test_no_raw_files(clip_folder):
    with pytest.raises(DataError, match="data=clips"):
        YuvFolder(clip_folder)
