"""What was painted comes back better, and the rest worse, at the same bitrate."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pvc.annotate.clip import Clip
from pvc.annotate.flow_bin import read_flow
from pvc.annotate.maps import at_clip_size, paint, write_values
from pvc.annotate.prepare import prepare
from pvc.annotate.reencode import Cancelled, reencode
from pvc.cli import main
from pvc.errors import ImportanceError
from pvc.video import read_clip
from tests.annotate.painting import FPS, ON_DISK, clips_folder, small_settings


@pytest.fixture(scope="module")
def painted(ready, tmp_path_factory):
    """A map in which the disk is raised, as a file and as values."""
    values = paint(ON_DISK, read_flow(ready.folder / "flow.bin"), ready.grid)
    path = tmp_path_factory.mktemp("painted") / "map-000001.mkv"
    write_values(path, values, ready.rate)
    return path, values


def test_psnr_goes_up_where_it_was_painted_and_down_elsewhere_at_the_same_bitrate(ready, painted, tmp_path):
    path, values = painted
    result = reencode(ready, path, tmp_path / "e.mp4")
    assert result.kbps == pytest.approx(ready.target_kbps, rel=0.02)
    assert result.gain_painted > 0.5
    assert result.gain_elsewhere < 0
    # The same by the frames themselves.
    raised = np.stack([at_clip_size(plane, (ready.height, ready.width)) for plane in values]) >= 131
    source, plain, coded = (
        read_clip(f) for f in (ready.folder / "source.mkv", ready.folder / "baseline.mp4", tmp_path / "e.mp4")
    )
    before, after = (((c.float() - source.float()) ** 2).mean(1).numpy() for c in (plain, coded))
    assert 10 * np.log10(before[raised].mean() / after[raised].mean()) == pytest.approx(result.gain_painted, abs=0.25)
    assert before[~raised].mean() < after[~raised].mean()


def test_a_neutral_map_gives_the_baseline_again(ready, tmp_path):
    write_values(tmp_path / "map.mkv", np.full(ready.grid, 127, np.uint8), FPS)
    result = reencode(ready, tmp_path / "map.mkv", tmp_path / "e.mp4")
    assert (tmp_path / "e.mp4").read_bytes() == (ready.folder / "baseline.mp4").read_bytes()
    assert result.psnr == pytest.approx(ready.baseline["psnr"])
    assert (result.psnr_painted, result.gain_painted) == (None, None)
    assert result.gain_elsewhere == pytest.approx(0, abs=1e-6)


def test_pvc_encode_does_the_same_with_the_exported_map(ready, painted, tmp_path, capsys):
    from pvc.annotate.export import write_mask, write_source

    path, values = painted
    reencode(ready, path, tmp_path / "tool.mp4")
    write_source(ready, tmp_path / "clip.mkv")
    write_mask(ready, values, tmp_path / "clip.mask.mkv")
    assert (read_clip(tmp_path / "clip.mkv") == read_clip(ready.folder / "source.mkv")).all()
    rate = ["--codec", "x264-annotation", "--bitrate", f"{ready.target_kbps:.3f}"]
    about = ["--importance", str(tmp_path / "clip.mask.mkv"), "-o", str(tmp_path / "command.mp4")]
    main(["encode", str(tmp_path / "clip.mkv"), *rate, *about])
    source = read_clip(ready.folder / "source.mkv").float()
    tool, command = (
        float((read_clip(tmp_path / name).float() - source).square().mean()) for name in ("tool.mp4", "command.mp4")
    )
    assert 10 * abs(np.log10(tool / command)) < 0.3  # dB; the command may ask the encoder for another rate at first


def test_a_reencode_that_is_cancelled_leaves_nothing(ready, painted, tmp_path):
    for when in (0.2, 0.9):  # while it codes, while it measures
        shares = []
        with pytest.raises(Cancelled):
            reencode(ready, painted[0], tmp_path / "e.mp4", shares.append, lambda: bool(shares) and shares[-1] > when)  # noqa: B023
        assert list(tmp_path.iterdir()) == []


def test_a_map_of_another_clip_is_refused(ready, tmp_path):
    write_values(tmp_path / "map.mkv", np.full((5, 4, 3), 127, np.uint8), FPS)
    with pytest.raises(ImportanceError, match="24 of 40x24 are needed"):
        reencode(ready, tmp_path / "map.mkv", tmp_path / "e.mp4")


def test_x265_gives_its_real_stream_and_a_copy_that_a_browser_plays(painted, tmp_path):
    import av

    folder = clips_folder(tmp_path / "clips", "disk")
    (clip,) = prepare(folder, folder / "annotations", small_settings("codec.name=x265-annotation"), jobs=1)
    result = reencode(clip, painted[0], tmp_path / "e.mp4")
    assert result.kbps == pytest.approx(clip.target_kbps, rel=0.02)
    assert result.gain_painted > 0.3 > result.gain_elsewhere
    for file, codec in ((result.stream, "hevc"), ("e.mp4", "h264")):
        with av.open(str(tmp_path / file)) as video:
            assert video.streams.video[0].codec_context.name == codec
    assert (clip.folder / clip.baseline["stream"]).is_file()
    near = read_clip(tmp_path / "e.mp4").float() - read_clip(tmp_path / result.stream).float()
    assert 10 * np.log10(255**2 / float(near.square().mean())) > 42


@pytest.mark.slow
def test_people_can_paint_for_a_trained_model(painted, tmp_path):
    import av

    folder = clips_folder(tmp_path / "clips", "disk")
    settings = small_settings("codec.name=mr-md-ssf-tiny", "prepare.kbps=60")
    (clip,) = prepare(folder, folder / "annotations", settings, jobs=1)
    result = reencode(clip, painted[0], tmp_path / "e.mp4")
    assert result.kbps == pytest.approx(clip.target_kbps, rel=0.02)
    assert 8 * (tmp_path / result.stream).stat().st_size * 24 / clip.frames / 1000 == pytest.approx(result.kbps)
    assert result.gain_painted > 0.3 > result.gain_elsewhere
    with av.open(str(tmp_path / "e.mp4")) as video:
        assert video.streams.video[0].codec_context.name == "h264"
    assert sorted(f.name for f in tmp_path.iterdir() if f.is_file()) == ["e.mp4", "e.pvc"]


def test_a_damaged_clip_json_is_said(ready, tmp_path):
    from pvc.errors import DataError

    replace(ready, folder=tmp_path).save()
    facts = json.loads((tmp_path / "clip.json").read_text())
    (tmp_path / "clip.json").write_text(json.dumps({**facts, "fps": None}))
    with pytest.raises(DataError, match="delete it and prepare the clip again"):
        Clip.load(tmp_path)
