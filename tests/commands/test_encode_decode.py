"""Files through ``pvc encode``, ``pvc decode`` and ``pvc info``."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from pvc.cli import main
from pvc.models.checkpoint import save_model
from pvc.paths import config_dir
from pvc.video import probe, read_clip, write_clip, write_map

FRAMES, HEIGHT, WIDTH = 5, 64, 96


@pytest.fixture
def clip(tmp_path, monkeypatch) -> torch.Tensor:
    """A moving gradient, also as ``in.mkv`` in the working folder."""
    monkeypatch.chdir(tmp_path)
    x, y, t = torch.arange(WIDTH), torch.arange(HEIGHT)[:, None], torch.arange(FRAMES)[:, None, None]
    planes = [(3 * x + 5 * t + 0 * y) % 256, (2 * y + x + 0 * t) % 256, (x + y + 8 * t) % 256]
    frames = torch.stack([p.to(torch.uint8).expand(FRAMES, HEIGHT, WIDTH) for p in planes], dim=1)
    write_clip("in.mkv", frames, Fraction(25))
    return frames


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """Path of a checkpoint of the tiny MR-MD-SSF as it is before any training."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "mr-md-ssf-test.safetensors"
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        save_model(instantiate(compose("train", ["experiment=tiny"]).model), path)
    return str(path)


def refused(*args: str, capsys) -> str:
    """The one line of a command that exits with 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(list(args))
    line = capsys.readouterr().err.splitlines()[-1]
    assert done.value.code == 2 and line.startswith("pvc: error: ")
    return line


def test_only_a_model_of_several_rates_needs_a_beta(clip, model, capsys):
    said = refused("encode", "in.mkv", "-o", "out.pvc", "--model", model, capsys=capsys)
    assert "codes at several rates; give --beta" in said and not Path("out.pvc").exists()
    main(["encode", "in.mkv", "-o", "one.pvc", "--model", "ssf-tiny-4e-4", "--frames", "2"])
    main(["encode", "in.mkv", "-o", "same.pvc", "--model", "ssf-tiny-4e-4", "--frames", "2", "--beta", "4e-4"])
    assert Path("one.pvc").read_bytes() == Path("same.pvc").read_bytes()


@pytest.mark.parametrize("codec", ["x264", "x265", "svtav1"])
def test_an_ordinary_codec_writes_a_video_of_the_same_size_rate_and_length(codec, clip):
    main(["encode", "in.mkv", "-o", "out.mp4", "--codec", codec, "--crf", "20"])
    info = probe("out.mp4")
    assert (info.width, info.height, info.frames, info.fps) == (WIDTH, HEIGHT, FRAMES, 25)
    error = (read_clip("out.mp4").float() - clip.float()).abs().mean()
    assert error < 8


@pytest.mark.parametrize("codec", ["x265", "svtav1"])
def test_a_larger_crf_makes_a_smaller_file_and_frames_cuts_the_clip(codec, clip):
    sizes = []
    for crf in ("0", "40"):
        main(["encode", "in.mkv", "-o", "out.mp4", "--codec", codec, "--crf", crf, "--frames", "3"])
        assert probe("out.mp4").frames == 3
        sizes.append(Path("out.mp4").stat().st_size)
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("codec", ["x264", "svtav1"])
def test_odd_sizes_stay_odd(codec, clip):
    write_clip("odd.mkv", clip[:, :, 1:, 1:], Fraction(25))
    main(["encode", "odd.mkv", "-o", "out.mp4", "--codec", codec, "--crf", "30"])
    assert read_clip("out.mp4").shape == (FRAMES, 3, HEIGHT - 1, WIDTH - 1)


def test_raw_yuv_is_read_by_its_arguments(clip):
    write_clip("raw.yuv", clip, Fraction(25))
    arguments = ["--size", f"{WIDTH}x{HEIGHT}", "--fps", "30000/1001", "--pix-fmt", "yuv420p"]
    main(["encode", "raw.yuv", "-o", "out.mp4", "--codec", "x264", "--crf", "30", *arguments])
    assert probe("out.mp4").fps == Fraction(30000, 1001)


def test_what_a_codec_cannot_do_leaves_the_file_that_was_there(clip, capsys):
    Path("out.mp4").write_bytes(b"before")
    x264 = ["encode", "in.mkv", "-o", "out.mp4", "--codec", "x264"]
    assert "51" in refused(*x264, "--crf", "99", capsys=capsys)
    assert "in.mkv has 5 frames, not the 6" in refused(*x264, "--crf", "30", "--frames", "6", capsys=capsys)
    assert Path("out.mp4").read_bytes() == b"before"
    assert sorted(p.name for p in Path().iterdir()) == ["in.mkv", "out.mp4"]


@pytest.mark.parametrize("codec", ["x264", "x265"])
def test_an_ordinary_codec_spends_its_bits_by_the_map(codec, clip):
    noise = torch.randint(0, 256, clip.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    write_clip("noise.mkv", noise, Fraction(25))
    left = torch.zeros(FRAMES, 1, HEIGHT, WIDTH)
    left[..., : WIDTH // 2] = 1
    for name, mask in {"left.mkv": left, "right.mkv": 1 - left}.items():
        write_map(name, mask, Fraction(25))
    encode = ["encode", "noise.mkv", "-o", "out.mp4", "--codec", codec, "--crf", "30"]

    def errors(*extra):
        main([*encode, *extra])
        error = (read_clip("out.mp4").float() - noise.float()).abs()
        return error[..., : WIDTH // 2].mean(), error[..., WIDTH // 2 :].mean()

    to_left, to_right = errors("--importance", "left.mkv"), errors("--importance", "right.mkv", "--alpha", "60")
    assert to_left[0] < 0.9 * to_left[1]
    assert to_right[1] < 0.9 * to_right[0]


def test_alpha_1_is_the_ordinary_codec_without_map(clip):
    write_map("map.mkv", torch.zeros(FRAMES, 1, HEIGHT, WIDTH), Fraction(25))
    files = []
    for extra in ([], ["--importance", "map.mkv", "--alpha", "1"]):
        main(["encode", "in.mkv", "-o", "out.mp4", "--codec", "x265", "--crf", "30", *extra])
        files.append(Path("out.mp4").read_bytes())
    assert files[0] == files[1]


def test_odd_sizes_take_a_map(clip):
    write_clip("odd.mkv", clip[:, :, 1:, 1:], Fraction(25))
    write_map("map.mkv", torch.ones(FRAMES, 1, HEIGHT - 1, WIDTH - 1), Fraction(25))
    main(["encode", "odd.mkv", "-o", "out.mp4", "--codec", "x264", "--crf", "30", "--importance", "map.mkv"])
    assert read_clip("out.mp4").shape == (FRAMES, 3, HEIGHT - 1, WIDTH - 1)


def test_a_map_that_an_ordinary_codec_cannot_take_leaves_the_file_that_was_there(clip, capsys):
    Path("out.mp4").write_bytes(b"before")
    for name, frames, width in (
        ("short.mkv", FRAMES - 1, WIDTH),
        ("long.mkv", FRAMES + 1, WIDTH),
        ("s.mkv", FRAMES, 32),
    ):
        write_map(name, torch.zeros(frames, 1, HEIGHT, width), Fraction(25))
    x264 = ["encode", "in.mkv", "-o", "out.mp4", "--codec", "x264", "--crf", "30", "--importance"]
    assert "short.mkv has 4 frames" in refused(*x264, "short.mkv", capsys=capsys)
    assert "more than the 5 frames" in refused(*x264, "long.mkv", capsys=capsys)
    assert f"32x{HEIGHT}" in refused(*x264, "s.mkv", capsys=capsys)
    assert "alpha" in refused(*x264, "short.mkv", "--alpha", "99", capsys=capsys)
    assert Path("out.mp4").read_bytes() == b"before"


def test_info_of_a_clip(clip, capsys):
    main(["info", "in.mkv", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (said["file"], said["width"], said["height"], said["frames"]) == ("in.mkv", WIDTH, HEIGHT, FRAMES)


def test_a_stream_decodes_to_a_clip_of_the_same_size_rate_and_length(clip, model, capsys):
    main(["encode", "in.mkv", "-o", "out.pvc", "--model", model, "--beta", "1e-3", "--gop", "3"])
    main(["decode", "out.pvc", "-o", "out.mkv", "--model", model])
    info = probe("out.mkv")
    assert (info.width, info.height, info.frames, info.fps) == (WIDTH, HEIGHT, FRAMES, 25)
    capsys.readouterr()
    main(["info", "out.pvc", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (said["width"], said["height"], said["frames"]) == (WIDTH, HEIGHT, FRAMES)
    assert said["bytes"] == Path("out.pvc").stat().st_size


def test_alpha_1_is_the_codec_without_map_and_a_map_changes_the_stream(clip, model):
    mask = torch.zeros(FRAMES, 1, HEIGHT, WIDTH)
    mask[..., : WIDTH // 2] = 1
    write_map("map.mkv", mask, Fraction(25))
    streams = {}
    for name, extra in {"none": [], "one": ["--alpha", "1"], "roi": ["--alpha", "26.5"]}.items():
        region = ["--importance", "map.mkv"] if extra else []
        main(["encode", "in.mkv", "-o", "out.pvc", "--model", model, "--beta", "1e-3", *region, *extra])
        streams[name] = Path("out.pvc").read_bytes()
    assert streams["none"] == streams["one"]
    assert streams["none"] != streams["roi"]


def test_what_a_model_cannot_do_leaves_the_file_that_was_there(clip, model, capsys):
    Path("out.pvc").write_bytes(b"before")
    write_map("short.mkv", torch.zeros(FRAMES - 1, 1, HEIGHT, WIDTH), Fraction(25))
    encode = ["encode", "in.mkv", "-o", "out.pvc", "--model", model, "--beta"]
    assert "beta" in refused(*encode, "1", capsys=capsys)
    assert "frames" in refused(*encode, "1e-3", "--importance", "short.mkv", capsys=capsys)
    assert "alpha" in refused(*encode, "1e-3", "--importance", "short.mkv", "--alpha", "99", capsys=capsys)
    assert "device" in refused(*encode, "1e-3", "--device", "abacus", capsys=capsys)
    assert Path("out.pvc").read_bytes() == b"before"
    refused("decode", "out.pvc", "-o", "out.mkv", "--model", model, capsys=capsys)
    assert not Path("out.mkv").exists()
