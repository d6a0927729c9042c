"""A folder of clips becomes what people paint on, once."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pvc.annotate.clip import Clip, load_clips
from pvc.annotate.flow_bin import read_flow
from pvc.annotate.maps import moved
from pvc.annotate.prepare import prepare
from pvc.errors import ConfigError, DataError
from pvc.video import VideoInfo, probe, read_clip, write_clip
from tests.annotate.painting import FPS, FRAMES, HEIGHT, WIDTH, clips_folder, moving_clip, small_settings


def test_a_prepared_clip_says_all_that_the_page_and_the_encoder_need(ready):
    clip = Clip.load(ready.folder)
    assert clip == ready
    assert clip.grid == (FRAMES, HEIGHT // 4, WIDTH // 4)
    assert clip.rate == FPS
    assert clip.baseline["psnr"] == pytest.approx(33, abs=0.3)
    assert clip.target_kbps == clip.baseline["kbps"]
    assert "made_from" not in clip.public
    assert str(clip.folder) not in json.dumps(clip.public)


def test_the_baseline_has_the_bitrate_and_psnr_that_are_said(ready):
    source, coded = (read_clip(ready.folder / name).float() for name in ("source.mkv", "baseline.mp4"))
    mse = (source - coded).square().mean((1, 2, 3))
    assert float((10 * (255**2 / mse).log10()).mean()) == pytest.approx(ready.baseline["psnr"], abs=1e-3)
    bits = 8 * (ready.folder / "baseline.mp4").stat().st_size
    container = bits * float(FPS) / FRAMES / 1000 - ready.target_kbps
    assert 0 < container < 1500 * 8 / 1000 * float(FPS) / FRAMES  # mp4's own index


def test_what_a_browser_gets_is_h264_in_420_with_a_key_frame_every_15(ready):
    import av

    for name in ("source.mp4", "baseline.mp4"):
        with av.open(str(ready.folder / name)) as file:
            stream = file.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            packets = [p for p in file.demux(stream) if p.size]
        assert len(packets) == FRAMES
        data = (ready.folder / name).read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
        if name == "source.mp4":
            assert [i for i, p in enumerate(packets) if p.is_keyframe] == [0, 15]


def test_edges_are_white_on_nothing_where_the_clip_has_edges(ready):
    files = sorted((ready.folder / "edges").iterdir())
    assert [f.name for f in files] == [f"{t:05d}.png" for t in range(FRAMES)]
    picture = np.asarray(Image.open(files[0]).convert("RGBA"))
    assert picture.shape == (HEIGHT, WIDTH, 4)
    drawn = picture[..., 3] > 0
    assert 0.01 < drawn.mean() < 0.5
    assert (picture[drawn] == 255).all()
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ring = abs(np.hypot(columns - 40, rows - 48) - 22) < 3
    assert drawn[ring].mean() > 2 * drawn.mean()


def test_the_flow_carries_a_mark_on_the_disk_with_the_disk(ready):
    flow = read_flow(ready.folder / "flow.bin")
    assert len(flow) == FRAMES - 1
    mark = np.zeros(ready.grid[1:])
    mark[9:15, 7:13] = 100
    for step in flow[:10]:
        mark = moved(mark, step)
    columns = np.arange(mark.shape[1])
    assert (mark.sum(0) * columns).sum() / mark.sum() == pytest.approx(9.5 + 10 * 2 / 4, abs=1)
    assert mark.max() > 80


def test_clips_are_prepared_again_only_when_they_or_the_settings_changed(tmp_path):
    folder = clips_folder(tmp_path / "clips", "a")
    work = folder / "annotations"
    prepare(folder, work, small_settings(), jobs=1)
    file = work / "clips" / "a" / "baseline.mp4"
    made = file.stat().st_mtime_ns
    prepare(folder, work, small_settings("session.clips=3"), jobs=1)
    assert file.stat().st_mtime_ns == made
    (changed,) = prepare(folder, work, small_settings("prepare.psnr=27"), jobs=1)
    assert changed.baseline["psnr"] == pytest.approx(27, abs=0.3)
    write_clip(folder / "a.mkv", moving_clip(7), FPS)
    assert prepare(folder, work, small_settings("prepare.psnr=27"), jobs=1)[0].made_from != changed.made_from


def test_what_people_painted_over_is_not_prepared_anew(tmp_path):
    folder = clips_folder(tmp_path / "clips", "a")
    work = folder / "annotations"
    prepare(folder, work, small_settings(), jobs=1)
    (work / "sessions" / "x").mkdir(parents=True)
    with pytest.raises(DataError, match="another version of clip a"):
        prepare(folder, work, small_settings("prepare.psnr=27"), jobs=1)
    assert load_clips(work)[0].baseline["psnr"] == pytest.approx(33, abs=0.3)


def test_an_interrupted_preparation_goes_on_where_it_was(tmp_path):
    folder = clips_folder(tmp_path / "clips", "a")
    work, seen = folder / "annotations", []

    def stop(name, share):
        seen.append(share)
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(folder, work, small_settings(), stop, jobs=1)
    clip = work / "clips" / "a"
    assert not (clip / "clip.json").exists()
    made = {name: (clip / name).stat().st_mtime_ns for name in ("source.mkv", "source.mp4", "flow.bin")}
    prepare(folder, work, small_settings(), jobs=1)
    assert {name: (clip / name).stat().st_mtime_ns for name in made} == made
    assert not [f.name for f in clip.iterdir() if f.name.startswith((".", "trial", "making"))]


def test_one_broken_clip_keeps_no_other_from_being_prepared(tmp_path):
    folder = clips_folder(tmp_path / "clips", "a", "c")
    (folder / "b.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"clip b cannot be prepared: .*b\.mp4"):
        prepare(folder, folder / "annotations", small_settings(), jobs=2)
    assert [clip.name for clip in load_clips(folder / "annotations")] == ["a", "c"]


def test_clips_are_scaled_to_fit_with_their_aspect(tmp_path):
    from pvc.annotate.source import fitted

    for (width, height), expected in {
        (1920, 1080): (450, 800),
        (1080, 1920): (450, 254),
        (456, 256): (450, 800),
        (640, 480): (450, 600),
        (801, 333): (332, 800),
    }.items():
        info = VideoInfo(width, height, FPS, 1, "yuv420p", "bt601", False)
        assert fitted(info, 800, 450) == expected


def test_only_the_first_seconds_are_taken(tmp_path):
    folder = clips_folder(tmp_path / "clips", "a")
    (clip,) = prepare(folder, folder / "annotations", small_settings("prepare.seconds=0.5", "prepare.kbps=200"), jobs=1)
    assert clip.frames == 12
    assert probe(clip.folder / "source.mp4").frames == 12
    assert clip.target_kbps == pytest.approx(200, rel=0.1)  # half a second is too short to hold it nearer


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("prepare.psnr=80", "prepare.psnr=80 is not a number from 15 to 50"),
        ("prepare.seconds=never", "prepare.seconds=never is not a number"),
        ("codec.name=x264", "x264 cannot be painted for"),
        ("codec.name=nothing", "nothing"),
        ("propagate.decay=2", "decay"),
        ("prepare.flow.lines=1", "flow.lines"),
    ],
)
def test_a_wrong_setting_is_one_line_before_anything_is_done(tmp_path, override, message):
    folder = clips_folder(tmp_path / "clips", "a")
    with pytest.raises(ConfigError, match=message):
        prepare(folder, folder / "annotations", small_settings(override), jobs=1)
    assert not (folder / "annotations").exists()


def test_a_folder_that_is_none_or_has_no_clips_is_said(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        prepare(tmp_path / "none", tmp_path / "work", small_settings())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no clips"):
        prepare(tmp_path / "empty", tmp_path / "work", small_settings())


def test_a_folder_without_clip_json_is_no_prepared_clip(ready, tmp_path):
    shutil.copytree(ready.folder, tmp_path / "clips" / "disk")
    assert [clip.name for clip in load_clips(tmp_path)] == ["disk"]
    (tmp_path / "clips" / "disk" / "clip.json").unlink()
    with pytest.raises(DataError, match="pvc annotate prepare"):
        load_clips(tmp_path)
