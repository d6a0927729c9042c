"""x264 and x265 at a bitrate: they land on it, with maps too, and leave nothing behind."""

import tempfile
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from pvc.codecs import avcodec, load_codec
from pvc.codecs.spool import Spool
from pvc.codecs.two_pass import two_pass
from pvc.errors import ConfigError, ImportanceError, VideoError
from pvc.importance import weighted_mask

ROI = ["x264-roi", "x265-roi"]
FPS, HEIGHT, WIDTH = Fraction(25), 96, 160


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    """uint8 ``[40, 3, H, W]``: blobs that drift and change, so that every frame costs something."""
    g = torch.Generator().manual_seed(0)
    coarse = torch.nn.functional.interpolate(
        torch.rand(1, 3, 14, 20, 30, generator=g), (40, HEIGHT + 40, WIDTH + 80), mode="trilinear"
    )[0]
    moved = [coarse[:, t, t // 2 : t // 2 + HEIGHT, t : t + WIDTH] for t in range(40)]
    grain = 0.03 * torch.randn(40, 3, HEIGHT, WIDTH, generator=g)
    return ((torch.stack(moved) * 1.6 - 0.3 + grain).clamp(0, 1) * 255).to(torch.uint8)


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The folder of temporary files, for this test alone."""
    folder = tmp_path / "it's a:b\\c"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def _left(frames: int = 40) -> torch.Tensor:
    mask = torch.zeros(frames, 1, HEIGHT, WIDTH)
    mask[..., : WIDTH // 2] = 1
    return mask


def _kbps(data: bytes, frames: int = 40) -> float:
    return 8 * len(data) * float(FPS) / frames / 1000


def _psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(10 * torch.log10(255**2 / (a.float() - b.float()).square().mean()))


@pytest.mark.parametrize("name", ROI)
def test_it_lands_on_the_bitrate_with_and_without_a_map(name, clip):
    codec, q = load_codec(name), weighted_mask(_left(), 0.2)
    for kbps in (150, 300):
        for point, importance in (({}, None), ({"alpha": 26.5}, q)):
            data = codec.encode(clip, {"bitrate": kbps, **point}, importance, fps=FPS)
            assert _kbps(data) == pytest.approx(kbps, rel=0.02)
            assert codec.decode(data).shape == clip.shape


@pytest.mark.parametrize("name", ROI)
def test_at_one_bitrate_a_map_moves_quality(name, clip):
    codec, point = load_codec(name), {"bitrate": 200, "alpha": 26.5}
    plain = codec.decode(codec.encode(clip, {"bitrate": 200}, fps=FPS))
    steered = codec.decode(codec.encode(clip, point, weighted_mask(_left(), 0.2), fps=FPS))
    half = WIDTH // 2
    assert _psnr(clip[..., :half], steered[..., :half]) > _psnr(clip[..., :half], plain[..., :half]) + 0.2
    assert _psnr(clip[..., half:], steered[..., half:]) < _psnr(clip[..., half:], plain[..., half:]) - 1


@pytest.mark.parametrize("name", ROI)
def test_every_pass_gets_the_map_of_every_frame(name, clip, monkeypatch):
    got, codec = [], load_codec(name)
    attach = avcodec.attach
    monkeypatch.setattr(
        avcodec, "attach", lambda frame, dqp: got.append((frame.pts, dqp.tobytes())) or attach(frame, dqp)
    )
    q = weighted_mask(torch.stack([m.roll(4 * t, -1) for t, m in enumerate(_left(12))]), 0.2)
    codec.encode(clip[:12], {"bitrate": 200, "alpha": 26.5}, q, fps=FPS)
    first, *others = [got[i : i + 12] for i in range(0, len(got), 12)]
    expected = [(t, codec.delta_qp.blocks(m, 26.5).tobytes()) for t, m in enumerate(q)]
    assert others and all(run == expected for run in [first, *others])


def test_the_annotation_tools_neutral_map_gives_the_bits_of_coding_without_one(clip):
    annotation, medium = load_codec("x264-annotation"), load_codec("x264-medium")
    expected = medium.encode(clip, {"bitrate": 200}, fps=FPS)
    neutral = torch.full((40, 1, HEIGHT, WIDTH), 127 / 255)
    assert annotation.encode(clip, {"bitrate": 200, "alpha": 60}, neutral, fps=FPS) == expected
    assert annotation.encode(clip, {"bitrate": 200}, fps=FPS) == expected
    assert annotation.encode(clip, {"bitrate": 200, "alpha": 60}, _left(), fps=FPS) != expected


def test_the_annotation_tools_rule_is_linear_from_10_to_minus_10():
    rule = load_codec("x264-annotation").delta_qp
    q = torch.tensor([0.0, 0.25, 127 / 255, 0.75, 1.0]).repeat_interleave(16).expand(1, 16, 80).clone()
    assert rule.blocks(q, 60).tolist() == [pytest.approx([10, 5, 0, -5, -10])]
    q[0, 3, 5] = 1  # one important pixel decides its block
    assert rule.blocks(q, 60)[0, 0] == -10


def test_same_input_same_bytes(clip):
    for name in ("x264", "x265", "x264-medium"):
        runs = {load_codec(name).encode(clip[:12], {"bitrate": 200}, fps=FPS) for _ in range(3)}
        assert len(runs) == 1


@pytest.mark.parametrize("name", ["x264", "x265", "x264-medium"])
def test_odd_sizes_and_clips_of_one_frame(name, clip):
    codec = load_codec(name)
    for part in (clip[:8, :, 1:, 1:], clip[:1]):
        assert codec.decode(codec.encode(part, {"bitrate": 200}, fps=FPS)).shape == part.shape


def test_a_bitrate_that_a_clip_cannot_have_is_missed_or_refused(clip):
    flat = torch.full_like(clip[:10], 90)
    data = load_codec("x264").encode(flat, {"bitrate": 5000}, fps=FPS)
    assert _kbps(data, 10) < 1000
    with pytest.raises(VideoError, match=r"x264 refuses.*may need more than 1 kbit/s"):
        load_codec("x264").encode(clip, {"bitrate": 1}, fps=FPS)


def test_a_miss_is_made_up_for_by_what_it_was():
    asked = []

    def short(options, number):  # an encoder that always stays 5 % below
        asked.append((number, int(options["b"])))
        return 0.95 * int(options["b"]) / 1000

    assert two_pass("libx264", {}, 300, short) == 2
    assert asked == [(0, 300000), (1, 300000), (2, 315789)]
    landed = [0, 290.0, 310.0, 304.0, 295.0]
    assert two_pass("libx265", {}, 300, lambda options, number: landed[number]) == 3
    assert two_pass("libx265", {}, 300, lambda options, number: 50.0) == 1


def test_an_encoder_that_overdoes_what_it_is_asked_for_is_brought_to_the_bitrate():
    got = []

    def steep(options, number):
        got.append(300 + 2.5 * (int(options["b"]) / 1000 - 290))
        return got[-1]

    best = two_pass("libx264", {}, 300, steep)
    assert abs(got[best] / 300 - 1) < 0.01 and len(got) <= 4


def test_frames_are_taken_once_and_nothing_stays_on_disk(clip, temporary):
    for name in ("x264", "x265"):
        taken = []
        frames = (taken.append(t) or frame for t, frame in enumerate(clip))
        stream = load_codec(name).encode_frames(frames, {"bitrate": 200}, fps=FPS, count=40, size=(HEIGHT, WIDTH))
        data = b"".join(stream)
        assert taken == list(range(40))
        assert _kbps(data) == pytest.approx(200, rel=0.02)
        assert list(temporary.iterdir()) == []


def test_whoever_stops_in_the_middle_leaves_nothing_on_disk(clip, temporary):
    def broken():
        yield from clip[:20]
        assert list(temporary.iterdir()) != []
        raise VideoError("the clip breaks off")

    codec, about = load_codec("x264"), {"fps": FPS, "count": 40, "size": (HEIGHT, WIDTH)}
    with pytest.raises(VideoError, match="breaks off"):
        list(codec.encode_frames(broken(), {"bitrate": 200}, **about))
    assert list(temporary.iterdir()) == []
    stream = codec.encode_frames(clip, {"bitrate": 200}, **about)
    while not next(stream):
        pass
    stream.close()
    assert list(temporary.iterdir()) == []


def test_a_spool_gives_back_what_it_kept_as_often_as_asked():
    items = [(torch.arange(5), None), ([1, 2], "two")]
    with Spool() as spool:
        assert list(spool) == [] and len(spool) == 0
        for got, expected in zip(spool.keep(items), items, strict=True):
            assert got is expected
        for _ in range(2):
            (first, none), second = spool
            assert torch.equal(first, torch.arange(5)) and none is None and second == ([1, 2], "two")


def test_a_full_disk_is_one_line(clip, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: open("/dev/full", "r+b", buffering=0))  # noqa: SIM115
    with pytest.raises(VideoError, match=r"no room in .* set TMPDIR"):
        load_codec("x264").encode(clip, {"bitrate": 200}, fps=FPS)


def test_points_of_a_bitrate_stand_in_for_those_of_a_crf():
    settings = {"crf": [20, 30], "bitrate": [100, 300.5], "u_alpha": [1.0, 0.0]}
    assert load_codec("x264").points(settings) == [{"bitrate": 100.0}, {"bitrate": 300.5}]
    points = load_codec("x265-roi").points(settings)
    assert points == [{"bitrate": b, "alpha": a} for a in (1.0, 60.0) for b in (100.0, 300.5)]
    assert load_codec("x264").points({**settings, "bitrate": None}) == [{"crf": 20.0}, {"crf": 30.0}]
    assert load_codec("svtav1").points(settings) == [{"crf": 20.0}, {"crf": 30.0}]


@pytest.mark.parametrize("bitrate", [[], [0], [-5], ["fast"], [100, 100], [float("nan")]])
def test_bad_bitrates_are_errors_that_name_them(bitrate):
    with pytest.raises(ConfigError, match="bitrate"):
        load_codec("x264").points({"bitrate": bitrate})


def test_maps_that_do_not_fit_are_errors(clip):
    point = {"bitrate": 200, "alpha": 26.5}
    with pytest.raises(ImportanceError, match="x264 takes no importance map"):
        load_codec("x264").encode(clip, point, _left(), fps=FPS)
    with pytest.raises(ImportanceError, match="12 frames but the clip has 40"):
        maps = iter(_left(12))
        list(load_codec("x264-roi").encode_frames(clip, point, maps, fps=FPS, count=40, size=(HEIGHT, WIDTH)))
