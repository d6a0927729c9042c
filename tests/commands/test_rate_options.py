"""``pvc encode``: what sets the rate and the quality of a model, from the command line."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from pvc.cli import main
from pvc.entropy.reader import StreamReader
from pvc.video import write_clip, write_map

FRAMES = 24
MODEL = ["encode", "in.mkv", "-o", "out.pvc", "--model", "mr-md-ssf-tiny"]


@pytest.fixture(autouse=True)
def clip(tmp_path, monkeypatch) -> None:
    """A clip ``in.mkv`` of moving noise, and the map ``map.mkv`` of its left half, in the working folder."""
    monkeypatch.chdir(tmp_path)
    noise = torch.rand(1, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    base = torch.nn.functional.interpolate(noise, (96, 160), mode="bicubic").clamp(0, 1).mul(255).byte()
    write_clip("in.mkv", torch.cat([base[..., t : t + 64, 2 * t : 2 * t + 96] for t in range(FRAMES)]), Fraction(12))
    left = torch.zeros(FRAMES, 1, 64, 96)
    left[..., :48] = 1
    write_map("map.mkv", left, Fraction(12))


def said(*args: str, capsys) -> list[str]:
    """Lines on standard error of a coding that succeeds, but for progress bars."""
    capsys.readouterr()
    main([*MODEL, *args])
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith(("out.pvc", "pvc:"))]


@pytest.mark.parametrize("passes", ["1", "2"])
def test_a_bitrate_is_held_and_said(passes, capsys):
    lines = said("--bitrate", "60", "--passes", passes, capsys=capsys)
    kbps = 8 * Path("out.pvc").stat().st_size * 12 / FRAMES / 1000
    assert kbps == pytest.approx(60, rel=0.05)
    assert f"{kbps:.1f} kbit/s" in lines[1] and "of 60" in lines[1] and "worst second" in lines[1]
    with open("out.pvc", "rb") as file:
        assert sum(1 for _ in StreamReader(file).frames()) == FRAMES


def test_what_cannot_be_met_is_done_as_well_as_it_can_be_and_warned_of(capsys):
    lines = said("--bitrate", "1", "--frames", "3", capsys=capsys)
    assert lines[-1].startswith("pvc: warning: 1 kbit/s could not be held: 3 of 3 frames cannot be smaller")
    with open("out.pvc", "rb") as file:
        assert {frame.beta_code for frame in StreamReader(file).frames()} == {65535}
    lines = said("--psnr", "70", "--frames", "2", capsys=capsys)
    assert lines[-1].startswith("pvc: warning: 2 of 2 frames miss 70 dB with the betas there are")


def test_floor_and_bitrate_and_iframe_alpha_together(capsys):
    more = ["--roi-psnr", "26", "--bitrate", "60", "--iframe-alpha", "1", "--importance", "map.mkv"]
    lines = said(*more, capsys=capsys)
    assert "kbit/s" in lines[1] and "PSNR in the region of interest" in lines[2] and "asked: at least 26 dB" in lines[2]


@pytest.mark.parametrize(
    "options, line",
    [
        (["--bitrate", "60", "--beta", "1e-3"], "--beta and --bitrate both set the rate"),
        (["--psnr", "30", "--bitrate", "60"], "--bitrate and --psnr both set the rate"),
        (["--roi-psnr", "30"], "--roi-psnr is about the region of interest: it needs --importance"),
        (["--iframe-alpha", "1", "--beta", "1e-3"], "--iframe-alpha is about the region of interest"),
        (["--roi-psnr", "30", "--importance", "map.mkv", "--alpha", "1"], "needs an --alpha above 1"),
        (["--passes", "2", "--beta", "1e-3"], "--passes 2 spreads the bits of --bitrate"),
        (["--bitrate", "0"], "bitrate=0 lies outside"),
        (["--bitrate", "60", "--iframe-beta", "1"], "--iframe-beta is a share of --beta, and --bitrate sets the rate"),
        (["--beta", "1e-3", "--iframe-beta", "0"], "iframe_beta=0 lies outside"),
        (["--bitrate", "nan"], "bitrate=nan lies outside"),
        (["--beta", "1e-3", "--iframe-alpha", "90", "--importance", "map.mkv"], "alpha = 90.0 lies outside"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line_and_writes_nothing(options, line, capsys):
    with pytest.raises(SystemExit) as done:
        main([*MODEL, *options])
    last = capsys.readouterr().err.splitlines()[-1]
    assert done.value.code == 2 and last.startswith("pvc: error: ") and line in last
    assert not Path("out.pvc").exists()


def test_a_model_of_one_rate_and_an_ordinary_codec_say_that_they_cannot(capsys):
    for options, line in (
        (["--model", "ssf-tiny-4e-4", "--bitrate", "60"], "codes at beta=4e-4 and cannot hold a bitrate"),
        (["--codec", "x264", "--crf", "30", "--rdoq", "1"], "--rdoq needs --model"),
        (["--model", "ssf-tiny-4e-4", "--rdoq", "-1"], "rdoq=-1 is out of range; give 0"),
        (["--codec", "x264", "--crf", "30", "--psnr", "30"], "--psnr needs --model; x264 has no such control"),
    ):
        with pytest.raises(SystemExit):
            main(["encode", "in.mkv", "-o", "out.pvc", *options])
        assert line in capsys.readouterr().err.splitlines()[-1]
