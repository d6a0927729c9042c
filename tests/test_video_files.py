"""Clips survive the way to a file and back, whatever the container."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from pvc.errors import VideoError
from pvc.video import VideoWriter, open_video, probe, read_clip, read_map, write_clip, write_map


def moving(frames: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """A smooth coloured texture that slides to the left; every frame differs from every other."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 9, generator=generator)
    wide = torch.nn.functional.interpolate(coarse, (height, width + 2 * frames), mode="bicubic").clamp(0, 1)[0]
    return torch.stack([(wide[..., 2 * t : 2 * t + width] * 255).round().byte() for t in range(frames)])


def error(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a.float() - b.float()).abs().mean().item()


FILES = [  # name, arguments of the writer, mean absolute error allowed, of 255
    ("a.mkv", {}, 0),
    ("folder", {}, 0),
    ("a.mask", {}, 0),
    ("a.mp4", {}, 3),
    ("a.mov", {}, 3),
    ("a.webm", {}, 3),
    ("a.y4m", {}, 1),
    ("a.y4m", {"pix_fmt": "yuv444p10le"}, 0.1),
    ("a_{w}x{h}_25.yuv", {}, 1),
    ("a_{w}x{h}_25_10bit.yuv", {"pix_fmt": "yuv420p10le"}, 1),
    ("a_{w}x{h}_25_444.yuv", {"pix_fmt": "yuv444p"}, 1),
    ("a_{w}x{h}_25fps_444_10bit.yuv", {"pix_fmt": "yuv444p10le"}, 0.1),
    ("jpegs", {"codec": "jpeg"}, 3),
    ("lossless.mp4", {"pix_fmt": "yuv444p", "options": {"qp": "0"}}, 1),
]


@pytest.mark.parametrize("size", [(48, 64), (37, 51)], ids=["even", "odd"])
@pytest.mark.parametrize(("name", "kwargs", "tolerance"), FILES, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_written_is_read_back(tmp_path, name, kwargs, tolerance, size):
    clip = moving(5, *size)
    path = tmp_path / name.format(w=size[1], h=size[0])
    write_clip(path, clip, Fraction(25), **kwargs)
    back, info = read_clip(path), probe(path)
    assert back.shape == clip.shape and back.dtype == torch.uint8
    assert error(back, clip) <= tolerance
    assert (info.height, info.width, info.frames, info.fps) == (*size, 5, 25)
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "nothing temporary stays behind"


@pytest.mark.parametrize("name", ["one.mkv", "one.mp4", "one.webm", "one.y4m", "one_32x32_50.yuv", "one"])
def test_a_clip_of_one_frame(tmp_path, name):
    write_clip(tmp_path / name, moving(1, 32, 32), 50)
    assert read_clip(tmp_path / name).shape == (1, 3, 32, 32)
    assert probe(tmp_path / name).fps == (50 if name != "one" else 25), (
        "pictures have no rate; 25 is the stated default"
    )


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("a.mp4", {"options": {"g": "7", "bf": "3", "crf": "18"}}),
        ("a.mkv", {"codec": "libx264", "pix_fmt": "yuv420p", "options": {"g": "9", "bf": "2"}}),
        ("a.webm", {"options": {"g": "8", "deadline": "realtime", "cpu-used": "8"}}),
        ("a.mkv", {}),
        ("a.y4m", {}),
        ("a_64x48_25.yuv", {}),
        ("folder", {}),
    ],
)
def test_any_start_gives_the_frames_a_whole_read_gives(tmp_path, name, kwargs):
    write_clip(tmp_path / name, moving(40, 48, 64), 25, **kwargs)
    whole = read_clip(tmp_path / name)
    assert len(whole) == 40
    for start in range(40):
        assert torch.equal(read_clip(tmp_path / name, start, 2), whole[start : start + 2])
    assert len(read_clip(tmp_path / name, 38, 5)) == 2, "as a slice: what there is"
    with pytest.raises(VideoError, match="no frame 40"):
        read_clip(tmp_path / name, 40)


def test_reading_is_frame_by_frame(tmp_path):
    write_clip(tmp_path / "a.mkv", moving(6, 16, 16), 25)
    with open_video(tmp_path / "a.mkv") as reader:
        assert next(reader).shape == (3, 16, 16)
        assert len(list(reader)) == 5
    with open_video(tmp_path / "a.mkv") as reader:
        next(reader)
    assert list(reader) == [], "a closed reader has ended"


def test_memory_does_not_grow_with_the_length(tmp_path):
    """A sparse raw file of 1.5 GB, of which each frame is let go before the next."""
    import resource

    path = tmp_path / "long_640x480_25.yuv"
    with path.open("wb") as file:
        file.truncate(640 * 480 * 3 // 2 * 3000)
    with open_video(path) as reader:
        next(reader)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(300):
            next(reader)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000, f"{grown} KB for 300 frames of 0.9 MB"


def test_variable_frame_rate_gives_the_coded_frames_and_the_average_rate(tmp_path):
    clip, times = moving(6, 32, 32), [0, 40, 120, 160, 200, 400]
    with av.open(str(tmp_path / "vfr.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "bgr0"
        for frame, time in zip(clip, times, strict=True):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.permute(1, 2, 0).numpy()), "rgb24")
            picture.pts, picture.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(picture.reformat(format="bgr0")))
        container.mux(stream.encode(None))
    assert torch.equal(read_clip(tmp_path / "vfr.mkv"), clip)
    assert torch.equal(read_clip(tmp_path / "vfr.mkv", 3, 2), clip[3:5])
    assert probe(tmp_path / "vfr.mkv").frames == 6


def test_the_rate_can_be_said(tmp_path):
    write_clip(tmp_path / "a.mkv", moving(2, 16, 16), Fraction(30000, 1001))
    assert probe(tmp_path / "a.mkv").fps == Fraction(30000, 1001)
    assert probe(tmp_path / "a.mkv", fps=24).fps == 24


def test_grey_frames_go_into_a_colour_file(tmp_path):
    with VideoWriter(tmp_path / "a.mkv", width=16, height=12, fps=25) as writer:
        writer.write(torch.full((1, 12, 16), 77, dtype=torch.uint8))
    assert (read_clip(tmp_path / "a.mkv") == 77).all()


# --- pictures


def save(path, array, **kwargs):
    Image.fromarray(array, **kwargs).save(path)


def test_pictures_sort_by_number(tmp_path):
    for i in (10, 2, 1):
        save(tmp_path / f"frame{i}.png", np.full((8, 8, 3), i, np.uint8))
    assert read_clip(tmp_path)[:, 0, 0, 0].tolist() == [1, 2, 10]


def test_pictures_with_transparency_keep_their_colours(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    save(tmp_path / "a.png", rgba)
    assert np.array_equal(read_clip(tmp_path)[0].permute(1, 2, 0).numpy(), rgba[..., :3])


def test_a_picture_is_a_clip_of_one_frame(tmp_path):
    save(tmp_path / "a.png", np.zeros((8, 6, 3), np.uint8))
    assert read_clip(tmp_path / "a.png").shape == (1, 3, 8, 6)


def test_pictures_of_several_sizes_name_the_file(tmp_path):
    save(tmp_path / "1.png", np.zeros((8, 6, 3), np.uint8))
    save(tmp_path / "2.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(VideoError, match=r"2\.png: is 8x8, the first picture is 6x8"):
        read_clip(tmp_path)


def test_sixteen_bit_grey(tmp_path):
    values = np.array([[0, 257, 65535, 32768]], np.uint16)
    save(tmp_path / "a.png", values)
    assert read_clip(tmp_path)[0, 0].tolist() == [[0, 1, 255, 128]]
    assert np.allclose(read_map(tmp_path)[0, 0].numpy(), values / 65535, atol=1e-7)


# --- maps


@pytest.mark.parametrize("name", ["m.mkv", "m.mask", "m"])
def test_maps_keep_their_values_to_half_a_255th(tmp_path, name):
    map = torch.rand(4, 1, 13, 17, generator=torch.Generator().manual_seed(1))
    write_map(tmp_path / name, map, 25)
    back = read_map(tmp_path / name)
    assert back.dtype == torch.float32
    assert torch.equal(back, (map * 255).round() / 255)
    assert torch.equal(read_map(tmp_path / name, 2, 1), back[2:3])


def test_a_map_from_a_colour_clip_is_its_luma(tmp_path):
    grey = torch.arange(0, 256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    write_clip(tmp_path / "m.mp4", grey, 25, pix_fmt="yuv444p", options={"qp": "0"})
    assert (read_map(tmp_path / "m.mp4") * 255 - grey).abs().max() < 1.1


def test_a_coloured_picture_is_no_map(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.save(tmp_path / "a.png")
    with pytest.raises(VideoError, match="must be grey"):
        read_map(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("m.mkv", 1.5, "must lie in"), ("m.mkv", float("nan"), "must lie in"), ("m.mp4", 0.5, "maps are written as")],
)
def test_maps_that_cannot_be_kept(tmp_path, name, value, message):
    with pytest.raises(VideoError, match=message):
        write_map(tmp_path / name, torch.full((1, 1, 8, 8), value), 25)
    assert not list(tmp_path.iterdir())


def test_shared_clips_and_masks(shared_clips):
    mask = sorted((shared_clips / "train").glob("*.mask.mkv"))[0]
    clip = mask.with_name(mask.name.replace(".mask.mkv", ".mkv"))
    clip = clip if clip.exists() else clip.with_suffix(".mp4")
    assert probe(mask).frames == probe(clip).frames
    assert set(read_map(mask, 5, 3).unique().tolist()) == {0.0, 1.0}
    assert torch.equal(read_clip(clip, 30, 2), read_clip(clip)[30:32])
