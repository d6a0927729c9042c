"""`pvc data base` as a user runs it: a killed run goes on where it was, and what does not fit is one line."""

import signal
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from pvc.cli import main
from pvc.codecs import load_codec
from pvc.data.base_layer import BaseLayer
from pvc.video import read_clip, write_clip
from tests.data.conftest import noise_clip
from tests.processes import Command, pause_after

QPS = list(range(20, 36))


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("base") / "clips"
    root.mkdir()
    for seed, name in enumerate("abc"):
        write_clip(root / f"{name}.mkv", noise_clip(seed, frames=5), Fraction(25))
    return root


def arguments(clips: Path, out: Path, *overrides: str) -> list[str]:
    settings = ["data=clips", f"data.root={clips}", f"data.source.cache={clips.parent / 'frames'}", "base=x264-cpvc"]
    return ["data", "base", *settings, "frames=4", "jobs=1", f"out={out}", *overrides]


def here(*args: object) -> int:
    """The same in this process; its exit code."""
    try:
        main(arguments(*args))
    except SystemExit as stopped:
        return stopped.code
    return 0


def stamps(out: Path) -> dict[Path, tuple[int, int]]:
    return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in out.rglob("clips/*/*.json")}


def after_four() -> None:
    """Wait when four tracks are stored."""
    pause_after("pvc.data.base_layer:BaseLayer", "store", 4)


def test_a_killed_run_is_taken_up_without_doing_anything_twice(clips, tmp_path, capsys):
    out, asked = tmp_path / "base", f"qp={QPS}".replace(" ", "")
    with Command("pvc.cli", arguments(clips, out, asked), tmp_path / "said", before=after_four) as process:
        process.reached()
        process.send(signal.SIGKILL)
        process.code()
    before = stamps(out)
    assert len(before) == 4
    (out / "clips" / "a" / ".qp20.u8.0123.part").write_bytes(b"half")  # as a kill in the middle of a file leaves it
    assert here(clips, out, asked) == 0
    assert f"4 of {3 * (len(QPS) + 1)} tracks are there already" in capsys.readouterr().err
    after = stamps(out)
    assert len(after) == 3 * (len(QPS) + 1) and all(after[p] == stamp for p, stamp in before.items())
    assert not list(out.rglob("*.part"))
    cache, codec = BaseLayer(out), load_codec("x264-cpvc", gop=32)
    clip = read_clip(clips / "b.mkv", 0, 4)
    stream = codec.encode(clip, {"crf": 23}, fps=Fraction(25))
    assert torch.equal(torch.from_numpy(cache.load("b", "qp23").copy()), codec.decode(stream))
    assert cache.info("b", "qp23")["bits"] == 8 * len(stream)
    assert cache.load("b", "saliency").shape == (4, 1, 48, 64)
    assert here(clips, out, asked, "gop=8") == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "another codec" in errors


def test_ctrl_c_is_one_line_and_loses_nothing(clips, tmp_path):
    out, asked = tmp_path / "base", f"qp={QPS}".replace(" ", "")
    with Command("pvc.cli", arguments(clips, out, asked), tmp_path / "said", before=after_four) as process:
        process.reached()
        process.send(signal.SIGINT)
        code, errors = process.code(), process.said
    assert code == 130 and errors.strip().splitlines()[-1] == "pvc: interrupted"
    assert "Traceback" not in errors and len(stamps(out)) == 4 and not list(out.rglob("*.part"))


def test_what_cannot_be_is_one_line(clips, tmp_path, capsys):
    for override, words in (
        ("qp=[29,70]", "0 to 63"),
        ("frames=1", "2 or more"),
        ("base=nothing", "nothing"),
        ("base=ssf2020-random", "neither QP nor CRF"),
        ("base=cpvc-tiny", "base=cpvc-tiny is a trained model"),
        ("base=264", "264"),
        ("qp=[29,60]", "crf"),  # x264 has none beyond 51
        ("importance=unknown", "unknown"),
        ("jobs=0", "jobs=0"),
        ("data.root=/nowhere", "/nowhere"),
        ("experiment=tiny", "experiment"),
    ):
        assert here(clips, tmp_path / "base", override) == 2
        errors = capsys.readouterr().err.strip().splitlines()
        assert words in errors[-1] and len(errors) == 1, (override, errors)
    assert not (tmp_path / "base").exists()


def test_a_codec_that_takes_maps_is_a_base_layer_without_one(clips, tmp_path):
    assert here(clips, tmp_path / "base", "base=x264-roi", "qp=[30]", "data.source.only=[a]") == 0
    roi, plain = (load_codec(name, gop=32) for name in ("x264-roi", "x264"))
    clip = read_clip(clips / "a.mkv", 0, 4)
    stream = plain.encode(clip, {"crf": 30}, fps=Fraction(25))
    assert torch.equal(torch.from_numpy(BaseLayer(tmp_path / "base").load("a", "qp30").copy()), roi.decode(stream))


def test_a_clip_without_a_mask_needs_a_source(clips, tmp_path, capsys):
    assert here(clips, tmp_path / "base", "importance=null", "qp=[30]", "data.source.only=[a]") == 2
    assert "has no mask" in (error := capsys.readouterr().err) and "name a source" in error
    assert not (tmp_path / "base").exists()  # nothing was coded before it was said


def test_a_verb_that_there_is_not_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["data", "bose"])
    assert stopped.value.code == 2 and "pvc data base" in capsys.readouterr().err
