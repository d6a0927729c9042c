"""`pvc encode`, `decode` and `info` with a model that has a base layer."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from pvc.cli import main
from pvc.models.checkpoint import save_model
from pvc.video import read_clip, write_clip
from tests.models.conftest import make
from tests.models.cpvc_small import clip_and_base, make_cpvc, wake


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with checkpoints, a clip of 7 frames, and its stream."""
    folder = tmp_path_factory.mktemp("layered")
    save_model(wake(make_cpvc("tiny", qps=(26, 32), base="x264-cpvc")), folder / "small.safetensors")
    save_model(wake(make_cpvc("paper", qps=(32,), base="x264-cpvc")), folder / "one.safetensors")
    save_model(make("patch", beta=1e-3), folder / "ssf.safetensors")
    frames, _ = clip_and_base(7, 40, 56)
    write_clip(folder / "in.mkv", (frames[0] * 255).round().byte(), Fraction(25))
    encode(folder, "a.pvc", "--qp", "32")
    return folder


def encode(folder: Path, target: str, *more: str, model: str = "small") -> None:
    name = ["--model", str(folder / f"{model}.safetensors"), "--gop", "3", "--device", "cpu"]
    main(["encode", str(folder / "in.mkv"), "-o", str(folder / target), *name, *more])


def decode(folder: Path, source: str, target: str, *more: str) -> None:
    name = ["--model", str(folder / "small.safetensors"), "--device", "cpu"]
    main(["decode", str(folder / source), "-o", str(folder / target), *name, *more])


def fails(capsys, command, *args, **kwargs) -> tuple[int, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        command(*args, **kwargs)
    lines = capsys.readouterr().err.strip().splitlines()
    return end.value.code, lines[-1]


def test_a_clip_is_written_read_and_told_about(made, capsys):
    decode(made, "a.pvc", "a.mkv")
    assert read_clip(made / "a.mkv").shape == (7, 3, 40, 56)
    decode(made, "a.pvc", "part.mkv", "--from", "4", "--frames", "2")
    assert (read_clip(made / "part.mkv") == read_clip(made / "a.mkv")[4:6]).all()
    capsys.readouterr()
    main(["info", str(made / "a.pvc"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["base"], told["qp_least"], told["frames"], told["whole"]) == ("x264-cpvc", 32, 7, True)
    assert told["bytes"] == (made / "a.pvc").stat().st_size
    assert told["neural_bits"] == pytest.approx(3 * told["key_frame_bits"] + 4 * told["other_frame_bits"])
    assert 0 < 8 * told["bytes"] - told["base_layer_bits"] - told["neural_bits"] < 8 * 150
    main(["info", str(made / "a.pvc")])
    assert "beta" not in capsys.readouterr().out


def test_the_file_alone_names_what_decodes_it(made, monkeypatch):
    monkeypatch.setenv("PVC_CHECKPOINTS", str(made))
    main(["decode", str(made / "a.pvc"), "-o", str(made / "b.mkv"), "--device", "cpu"])
    assert len(read_clip(made / "b.mkv")) == 7


def test_a_cut_file_leaves_its_whole_frames_and_is_an_error(made, capsys):
    data = (made / "a.pvc").read_bytes()
    (made / "cut.pvc").write_bytes(data[: len(data) * 2 // 3])
    code, said = fails(capsys, decode, made, "cut.pvc", "cut.mkv")
    count = len(read_clip(made / "cut.mkv"))
    assert code == 2 and f"ends at frame {count} of 7" in said and 0 < count < 7


def test_a_model_of_one_qp_needs_none(made):
    encode(made, "one.pvc", model="one")
    encode(made, "same.pvc", "--qp", "32", model="one")
    assert (made / "one.pvc").read_bytes() == (made / "same.pvc").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "give --qp, one of 26, 32"),
        (["--qp", "30"], "trained over base QP 26, 32, not 30"),
        (["--qp", "32", "--base", "vvenc-cpvc"], "trained over x264-cpvc, not over vvenc-cpvc"),
        (["--qp", "32", "--beta", "1e-3"], "--beta does not set the rate"),
        (["--qp", "32", "--bitrate", "300"], "--bitrate does not set the rate"),
        (["--qp", "32", "--importance", "in.mkv"], "takes no importance map"),
        (["--qp", "32", "--rdoq", "2"], "has no search for symbols"),
        (["--qp", "32", "--frames", "8"], "has 7 frames, not the 8"),
    ],
)
def test_options_that_do_not_fit_are_one_line(made, options, said, capsys, monkeypatch):
    monkeypatch.chdir(made)
    code, line = fails(capsys, encode, made, "no.pvc", *options)
    assert code == 2 and said in line
    assert not (made / "no.pvc").exists()


def test_a_qp_or_base_codec_means_nothing_to_other_codecs(made, capsys):
    assert "--qp is that of a base layer" in fails(capsys, encode, made, "no.pvc", "--qp", "32", model="ssf")[1]
    rate = ["--beta", "1e-3", "--base", "x264"]
    assert "has no base codec" in fails(capsys, encode, made, "no.pvc", *rate, model="ssf")[1]
    ordinary = ["encode", str(made / "in.mkv"), "-o", str(made / "no.mp4"), "--codec", "x264", "--crf", "30"]
    for option in (["--qp", "32"], ["--base", "x264"]):
        assert f"{option[0]} is for a --model" in fails(capsys, main, [*ordinary, *option])[1]
