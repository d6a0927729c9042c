"""``pvc importance``: maps as files, pictures of them, and one line for what does not work."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pvc.cli import main
from pvc.importance.overlay import overlay
from pvc.importance.registry import load_source
from pvc.video import probe, read_clip, read_map, write_clip, write_map

FRAMES, HEIGHT, WIDTH = 4, 48, 64


@pytest.fixture
def clip(tmp_path, monkeypatch) -> torch.Tensor:
    """A bright square that moves over a dark gradient, also as ``in.mkv`` in the working folder."""
    monkeypatch.chdir(tmp_path)
    frames = torch.arange(WIDTH).expand(FRAMES, 3, HEIGHT, WIDTH).clone()
    for t in range(FRAMES):
        frames[t, :, 10:26, 10 + 4 * t : 26 + 4 * t] = 220
    frames = frames.byte()
    write_clip("in.mkv", frames, Fraction(30))
    return frames


def run(*args: str) -> None:
    main(["importance", "in.mkv", *args])


def refused(*args: str, capsys) -> str:
    """The one line of a command that exits with 2; it has written nothing."""
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(["importance", *args])
    line = capsys.readouterr().err.splitlines()[-1]
    assert done.value.code == 2 and line.startswith("pvc: error: ")
    assert sorted(Path().rglob("*")) == before
    return line


@pytest.mark.parametrize("name", ["map.mkv", "maps"])
def test_the_map_of_the_default_source_is_kept_to_half_a_255th(clip, name):
    run("-o", name)
    expected = torch.stack(list(load_source("spectral").maps(iter(clip))))
    assert (read_map(name) - expected).abs().max() <= 0.5 / 255 + 1e-6
    assert probe(name).frames == FRAMES
    if name == "map.mkv":
        assert probe(name).fps == 30


def test_settings_reach_the_source(clip):
    run("-o", "map.mkv", "--source", "spectral", "--set", "motion=0", "centre=null", "--frames", "2")
    expected = torch.stack(list(load_source("spectral", motion=0, centre=None).maps(iter(clip[:2]))))
    assert (read_map("map.mkv") - expected).abs().max() <= 0.5 / 255 + 1e-6


def test_several_sources_and_steps(clip):
    write_map("half.mkv", torch.full((FRAMES, 1, HEIGHT, WIDTH), 0.4), 30)
    settings = ["annotation.path=half.mkv", "perlin.share=0.2", "perlin.scale=16"]
    run("-o", "map.mkv", "--source", "annotation,perlin", "--set", *settings)
    assert sorted(read_map("map.mkv").unique().tolist()) == pytest.approx([0.4, 1.0])
    run("-o", "mean.mkv", "--source", "annotation", "--source", "perlin", "--combine", "mean", "--set", *settings)
    assert sorted(read_map("mean.mkv").unique().tolist()) == pytest.approx([0.2, 0.7], abs=0.01)
    plain = ["--source", "perlin", "--set", "share=0.2", "scale=16"]
    run("-o", "plain.mkv", *plain)
    run("-o", "wide.mkv", *plain, "--dilate", "3")
    assert (read_map("wide.mkv") >= read_map("plain.mkv")).all() and read_map("wide.mkv").mean() > 0.25
    run("-o", "shifted.mkv", *plain, "--smooth", "0.5", "--mean", "0.5")
    assert read_map("shifted.mkv").mean() == pytest.approx(0.5, abs=0.01)
    run("-o", "binary.mkv", "--threshold", "0.5")
    assert set(read_map("binary.mkv").unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("name", ["look.mp4", "look.mkv"])
def test_the_overlay_is_the_clip_in_heat_colours(clip, name):
    run("-o", "map.mkv", "--overlay", name)
    assert probe(name).frames == FRAMES and probe(name).fps == 30
    if name == "look.mkv":  # lossless
        expected = [overlay(frame, q) for frame, q in zip(clip, read_map("map.mkv"), strict=True)]
        assert torch.equal(read_clip(name), torch.stack(expected))


def test_an_overlay_picture_is_a_sheet_of_frames(clip):
    run("-o", "map.mkv", "--overlay", "look.png")
    with Image.open("look.png") as image:
        assert image.size == (FRAMES * WIDTH, HEIGHT)
    run("-o", "one", "--frames", "1", "--overlay", "one.png")
    with Image.open("one.png") as image:
        assert image.size == (WIDTH, HEIGHT)
        expected = overlay(clip[0], read_map("one")[0])
        assert np.array_equal(np.asarray(image.convert("RGB")), expected.permute(1, 2, 0).numpy())


def test_what_does_not_count_looks_as_it_was(clip):
    none = overlay(clip[0], torch.zeros(1, HEIGHT, WIDTH))
    assert torch.equal(none, clip[0])
    all_of_it = overlay(clip[0], torch.ones(1, HEIGHT, WIDTH)).int() - clip[0].int()
    assert all_of_it[0].float().mean() > 10  # red


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["none.mkv", "-o", "m.mkv"], "none.mkv"),
        (["in.mkv", "-o", "m.mp4"], "maps are written as .mkv or a folder"),
        (["in.mkv", "-o", "-"], "does not go through a pipe"),
        (["in.mkv", "-o", "no/m.mkv"], "no folder no"),
        (["in.mkv", "-o", "m.mkv", "--source", "spektral"], "there are: annotation"),
        (["in.mkv", "-o", "m.mkv", "--source", "spectral,spectral"], "twice"),
        (["in.mkv", "-o", "m.mkv", "--source", "spectral,perlin", "--set", "share=1"], "Write NAME.KEY=VALUE"),
        (["in.mkv", "-o", "m.mkv", "--set", "motion"], "no KEY=VALUE"),
        (["in.mkv", "-o", "m.mkv", "--set", "motion=[1"], "cannot be understood"),
        (["in.mkv", "-o", "m.mkv", "--set", "speed=1"], "no setting speed"),
        (
            ["in.mkv", "-o", "m.mkv", "--set", "motion=fast"],
            "spectral cannot take motion=fast; configs/importance/spectral.yaml says what its settings take",
        ),
        (["in.mkv", "-o", "m.mkv", "--frames", "5"], "in.mkv has 4 frames, not the 5"),
        (["in.mkv", "-o", "m.mkv", "--smooth", "1.5"], "decay=1.5"),
        (["in.mkv", "-o", "m.mkv", "--overlay", "m.mkv"], "the map's own file"),
        (["in.mkv", "-o", "m.mkv", "--overlay", "m.gif"], ".mp4, .mkv"),
        (["in.mkv", "-o", "m.mkv", "--overlay", "no/m.png"], "no folder no"),
        (["in.mkv", "-o", "m.mkv", "--source", "annotation"], "path=MAP"),
        (["in.mkv", "-o", "m.mkv", "--source", "annotation", "--set", "path=small.mkv"], "fit it by resize=true"),
        (["in.mkv", "-o", "m.mkv", "--source", "annotation", "--set", "path=long.mkv"], "length=cut"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(args, says, clip, capsys):
    write_map("small.mkv", torch.zeros(FRAMES, 1, HEIGHT // 2, WIDTH // 2), 30)
    write_map("long.mkv", torch.zeros(FRAMES + 1, 1, HEIGHT, WIDTH), 30)
    assert says in refused(*args, capsys=capsys)


def test_missing_weights_are_one_line(clip, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("PVC_WEIGHTS", raising=False)
    said = refused("in.mkv", "-o", "m.mkv", "--source", "gradient", "--weights-dir", "mine", capsys=capsys)
    assert "googlenet-1378be20.pth" in said and "mine" in said


def test_the_doctor_lists_sources_and_what_they_lack(capsys, tmp_path, monkeypatch):
    from pvc.commands.doctor import sources

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("PVC_WEIGHTS", raising=False)
    found = {name: said for name, said, _ in sources()}
    assert found["spectral"] == "ready" and "u2netp.pth" in found["salient_object"]


def test_an_input_is_never_the_output(clip, capsys):
    before = Path("in.mkv").read_bytes()
    assert "is an input" in refused("in.mkv", "-o", "./in.mkv", capsys=capsys)
    assert Path("in.mkv").read_bytes() == before


def test_settings_inside_settings(clip):
    Path("drawn").mkdir()
    Image.new("L", (WIDTH, HEIGHT), 255).save("drawn/00000.png")
    run("-o", "o.mkv", "--source", "propagated", "--set", "path=drawn", "flow.check=false", "flow.gaussian=false")
    assert read_map("o.mkv").shape == (FRAMES, 1, HEIGHT, WIDTH)
