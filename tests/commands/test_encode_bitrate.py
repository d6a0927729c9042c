"""``pvc encode --codec ... --bitrate``: the file has the bitrate, and nothing else is left or lost."""

import signal
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from pvc.cli import main
from pvc.video import probe, read_clip, write_clip, write_map
from tests.processes import Command, pause_after

FRAMES, HEIGHT, WIDTH = 30, 64, 96


@pytest.fixture
def clip(tmp_path, monkeypatch) -> torch.Tensor:
    """Noise that changes slowly, as ``in.mkv``, and ``left.mkv``, a map of its left half, in the working folder."""
    monkeypatch.chdir(tmp_path)
    g = torch.Generator().manual_seed(0)
    noise = torch.nn.functional.interpolate(
        torch.rand(1, 3, 8, 16, 24, generator=g), (FRAMES, HEIGHT, WIDTH), mode="trilinear"
    )[0].transpose(0, 1)
    grain = 0.05 * torch.randn(FRAMES, 3, HEIGHT, WIDTH, generator=g)
    frames = ((noise + grain).clamp(0, 1) * 255).to(torch.uint8)
    write_clip("in.mkv", frames, Fraction(25))
    left = torch.zeros(FRAMES, 1, HEIGHT, WIDTH)
    left[..., : WIDTH // 2] = 1
    write_map("left.mkv", left, Fraction(25))
    return frames


def kbps(path: str) -> float:
    with av.open(path) as video:
        return 8 * sum(packet.size for packet in video.demux(video=0)) * 25 / FRAMES / 1000


def refused(*args: str, capsys) -> str:
    """The one line of a command that exits with 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(["encode", "in.mkv", "-o", "out.mp4", *args])
    line = capsys.readouterr().err.splitlines()[-1]
    assert done.value.code == 2 and line.startswith("pvc: error: ")
    return line


@pytest.mark.parametrize("codec", ["x264", "x265", "x264-medium"])
def test_the_file_has_the_bitrate_and_says_it(codec, clip, capsys):
    main(["encode", "in.mkv", "-o", "out.mp4", "--codec", codec, "--bitrate", "150"])
    assert kbps("out.mp4") == pytest.approx(150, rel=0.02)
    assert f"{kbps('out.mp4'):.1f} kbit/s" in capsys.readouterr().err
    info = probe("out.mp4")
    assert (info.width, info.height, info.frames, info.fps) == (WIDTH, HEIGHT, FRAMES, 25)
    assert sorted(p.name for p in Path().iterdir()) == ["in.mkv", "left.mkv", "out.mp4"]


@pytest.mark.parametrize("codec", ["x264", "x265", "x264-annotation"])
def test_a_map_moves_quality_at_the_same_bitrate(codec, clip):
    errors = {}
    for name, extra in {"plain": [], "steered": ["--importance", "left.mkv"]}.items():
        main(["encode", "in.mkv", "-o", "out.mp4", "--codec", codec, "--bitrate", "200", *extra])
        assert kbps("out.mp4") == pytest.approx(200, rel=0.02)
        error = (read_clip("out.mp4").float() - clip.float()).square()
        errors[name] = [float(half.mean()) for half in error.split(WIDTH // 2, dim=-1)]
    assert errors["steered"][0] < 0.9 * errors["plain"][0]
    assert errors["steered"][1] > 1.1 * errors["plain"][1]


def test_the_annotation_codec_takes_the_map_as_it_is(clip):
    encode = ["encode", "in.mkv", "--codec", "x264-annotation", "--bitrate", "200", "--importance", "left.mkv"]
    main([*encode, "-o", "own.mp4"])
    main([*encode, "-o", "sixty.mp4", "--alpha", "60"])
    main([*encode, "-o", "other.mp4", "--alpha", "5"])
    assert Path("own.mp4").read_bytes() == Path("sixty.mp4").read_bytes() != Path("other.mp4").read_bytes()


def test_odd_sizes_stay_odd(clip):
    write_clip("odd.mkv", clip[:8, :, 1:, 1:], Fraction(25))
    main(["encode", "odd.mkv", "-o", "out.mp4", "--codec", "x264", "--bitrate", "200"])
    assert read_clip("out.mp4").shape == (8, 3, HEIGHT - 1, WIDTH - 1)


def test_what_does_not_go_together_is_refused_and_leaves_the_file_that_was_there(clip, capsys):
    Path("out.mp4").write_bytes(b"before")
    assert "give one of them" in refused("--codec", "x264", "--crf", "30", "--bitrate", "200", capsys=capsys)
    assert "--crf" in refused("--codec", "svtav1", "--bitrate", "200", capsys=capsys)
    assert "--bitrate" in refused("--codec", "x264", capsys=capsys)
    assert "[1, 1e+06]" in refused("--codec", "x264", "--bitrate", "0", capsys=capsys)
    assert "none of x264, x265, svtav1" in refused("--codec", "vvenc", "--bitrate", "200", capsys=capsys)
    said = refused("--codec", "x264-medium", "--bitrate", "200", "--importance", "left.mkv", capsys=capsys)
    assert "use x264 or x265" in said
    said = refused("--codec", "x264", "--bitrate", "1", capsys=capsys)
    assert "out.mp4" in said and "more than 1 kbit/s" in said and "pvc-passes" not in said
    write_map("short.mkv", torch.zeros(9, 1, HEIGHT, WIDTH), Fraction(25))
    said = refused("--codec", "x264", "--bitrate", "200", "--importance", "short.mkv", capsys=capsys)
    assert "short.mkv has 9 frames but in.mkv has 30" in said
    assert Path("out.mp4").read_bytes() == b"before"
    assert sorted(p.name for p in Path().iterdir()) == ["in.mkv", "left.mkv", "out.mp4", "short.mkv"]


def amid_a_pass() -> None:
    """Wait when some frames of the first pass are coded."""
    pause_after("pvc.video:VideoWriter", "write", 20)


def test_ctrl_c_leaves_nothing_and_loses_nothing(clip, tmp_path):
    write_clip("long.mkv", clip.repeat(3, 1, 2, 2), Fraction(25))
    Path("out.mp4").write_bytes(b"before")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    arguments = ["encode", "long.mkv", "-o", "out.mp4", "--codec", "x265", "--bitrate", "900"]
    with Command("pvc.cli", arguments, tmp_path / "said", before=amid_a_pass, TMPDIR=str(temporary)) as process:
        process.reached()
        assert list(temporary.iterdir())
        process.send(signal.SIGINT)
        assert process.code() == 130
    assert list(temporary.iterdir()) == []
    assert Path("out.mp4").read_bytes() == b"before"
    assert sorted(p.name for p in Path().iterdir()) == [
        "in.mkv",
        "left.mkv",
        "long.mkv",
        "out.mp4",
        "said",
        "said.paused",
        "temporary",
    ]
