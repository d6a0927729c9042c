"""A clip coded again and again at one bitrate by different maps."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from pvc.codecs import load_codec
from pvc.codecs.recode import Recoder
from pvc.errors import VideoError
from pvc.video import read_clip, write_clip
from tests.annotate.painting import moving_clip

FPS, COUNT, KBPS = Fraction(24), 48, 400


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("recode") / "source.mkv"
    clip = moving_clip(frames=COUNT // 2)
    write_clip(path, torch.cat([clip, clip.flip(0)]), FPS, codec="rawvideo", pix_fmt="yuv420p")
    return path


@pytest.fixture(scope="module")
def recoder(source):
    return Recoder(load_codec("x264-annotation"), source, FPS, COUNT)


def left_half(value):
    """Offsets of ``value`` QP for the left half of the blocks and as much the other way for the right one."""
    blocks = np.zeros((6, 10), np.float32)
    blocks[:, :5], blocks[:, 5:] = value, -value
    return [blocks] * COUNT


def halves(source, coded):
    """PSNR in dB of the left and of the right half, frame by frame ``[T, 2]``."""
    error = (read_clip(source).float() - read_clip(coded).float()).square()
    mse = torch.stack([error[..., :80].mean((1, 2, 3)), error[..., 80:].mean((1, 2, 3))], dim=1)
    return 10 * (255**2 / mse).log10()


def test_the_bitrate_stays_whatever_the_map(recoder, tmp_path):
    plain = recoder.code(tmp_path / "plain.mp4", KBPS)
    assert plain.kbps == pytest.approx(KBPS, rel=0.02)
    again = recoder.code(tmp_path / "map.mp4", KBPS, left_half(-8), ask=plain.asked)
    assert again.kbps == pytest.approx(KBPS, rel=0.02)
    bits = 8 * (tmp_path / "map.mp4").stat().st_size  # with the container's own
    assert again.kbps < bits * float(FPS) / COUNT / 1000 < again.kbps + 20


def test_every_frame_heeds_the_map_those_that_others_refer_to_as_well(recoder, source, tmp_path):
    """With what a first pass without the map found out, x264 would heed it in a part of the frames only."""
    recoder.code(tmp_path / "plain.mp4", KBPS)
    recoder.code(tmp_path / "map.mp4", KBPS, left_half(-8))
    gain = halves(source, tmp_path / "map.mp4") - halves(source, tmp_path / "plain.mp4")
    assert float(gain[:, 0].min()) > 1.5
    assert float(gain[:, 1].max()) < -1


def test_a_map_of_zeros_gives_the_plain_stream(recoder, tmp_path):
    recoder.code(tmp_path / "plain.mp4", KBPS)
    recoder.code(tmp_path / "zeros.mp4", KBPS, left_half(0))
    assert (tmp_path / "zeros.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()


def test_what_gave_the_bitrate_before_gives_it_at_once(recoder, tmp_path):
    first = recoder.code(tmp_path / "a.mp4", KBPS)
    assert recoder.code(tmp_path / "b.mp4", KBPS, ask=first.asked).second_passes == 1


def test_progress_is_told_and_what_it_raises_leaves_nothing_behind(recoder, tmp_path):
    shares = []
    recoder.code(tmp_path / "a.mp4", KBPS, step=shares.append)
    assert shares[0] == 0
    assert max(shares) == 1

    def stop(share):
        if share > 0.6:
            raise KeyboardInterrupt

    (tmp_path / "a.mp4").write_bytes(b"what was there before")
    with pytest.raises(KeyboardInterrupt):
        recoder.code(tmp_path / "a.mp4", KBPS, step=stop)
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("a.mp4", b"what was there before")]


def test_x265_and_more_threads_hold_the_bitrate_too(source, tmp_path):
    for name, threads in (("x265-annotation", 2), ("x264-annotation", 2)):
        done = Recoder(load_codec(name), source, FPS, COUNT, threads).code(tmp_path / "a.mp4", KBPS, left_half(-6))
        assert done.kbps == pytest.approx(KBPS, rel=0.02)
        gain = halves(source, tmp_path / "a.mp4").mean(0)
        assert float(gain[0] - gain[1]) > 1


def test_a_source_that_is_none_or_shorter_is_said(source, tmp_path):
    codec = load_codec("x264-annotation")
    with pytest.raises(VideoError, match="cannot read this as a video"):
        Recoder(codec, tmp_path / "none.mkv", FPS, COUNT)
    write_clip(tmp_path / "rgb.mkv", moving_clip(frames=2), FPS)
    with pytest.raises(VideoError, match="give yuv420p"):
        Recoder(codec, tmp_path / "rgb.mkv", FPS, 2)
    with pytest.raises(VideoError, match="has 48 frames, not 50"):
        Recoder(codec, source, FPS, 50).code(tmp_path / "a.mp4", KBPS)
    assert not (tmp_path / "a.mp4").exists()
