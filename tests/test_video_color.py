"""Colour conversion is FFmpeg's, with the matrix, range and siting that were asked for."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from pvc.errors import VideoError
from pvc.video import default_matrix, from_yuv420p, probe, read_clip, rgb_to_yuv, to_yuv420p, write_clip, yuv_to_rgb
from pvc.video.color import MATRICES

WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}  # Kr, Kb of the standards
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"]
FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"


def picture(height: int = 36, width: int = 52, frames: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(frames, 3, 7, 9, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (smooth * 255).round().byte()


def ffmpeg_scale(data: bytes, size: tuple[int, int], source: str, target: str, options: str) -> bytes:
    """The conversion by the ffmpeg program (another build and version than the library's)."""
    raw = ["-f", "rawvideo", "-pix_fmt", source, "-s", f"{size[1]}x{size[0]}"]
    scale = f"scale={options}:flags={FLAGS},format={target}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *raw, "-i", "-", "-vf", scale, "-f", "rawvideo", "-"]
    done = subprocess.run(command, input=data, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("fmt", FORMATS)
def test_equals_the_ffmpeg_program(fmt, matrix, full):
    """Tolerance: one step, so that another swscale may round otherwise; at the time of writing the bytes are equal."""
    clip = picture()
    size, dtype = clip.shape[-2:], np.dtype("<u2") if "10" in fmt else np.uint8
    ours = rgb_to_yuv(clip, fmt, matrix, full)
    data = b"".join(p[t].numpy().tobytes() for t in range(len(clip)) for p in ours)
    back = yuv_to_rgb(*ours, fmt, matrix, full)

    gbr = clip[:, [1, 2, 0]].numpy().tobytes()
    side = f"color_matrix={MATRICES[matrix]}:{{0}}_range={'pc' if full else 'tv'}:{{0}}_chroma_loc=left"
    theirs = ffmpeg_scale(gbr, size, "gbrp", fmt, ("out_" + side).format("out") + ":in_range=pc")
    difference = np.frombuffer(data, dtype).astype(int) - np.frombuffer(theirs, dtype)
    assert abs(difference).max() <= 1

    theirs = ffmpeg_scale(data, size, fmt, "gbrp", ("in_" + side).format("in") + ":out_range=pc")
    difference = np.frombuffer(theirs, np.uint8).reshape(clip.shape)[:, [2, 0, 1]].astype(int) - back.numpy()
    assert abs(difference).max() <= 1


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("bits", [8, 10])
def test_follows_the_standards_formula(bits, matrix, full):
    """4:4:4 against ITU-R BT.601-7, BT.709-6, BT.2020-2; swscale rounds full-range chroma down, hence its tolerance."""
    clip = torch.randint(0, 256, (1, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    fmt = "yuv444p" + ("10le" if bits == 10 else "")
    planes = rgb_to_yuv(clip, fmt, matrix, full)
    kr, kb = WEIGHTS[matrix]
    r, g, b = clip[0].double() / 255
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 - 2 * kb), (r - y) / (2 - 2 * kr)
    step = 2 ** (bits - 8)
    top = 2**bits - 1
    want = (
        [y * top, u * top + 128 * step, v * top + 128 * step]
        if full
        else [(y * 219 + 16) * step, (u * 224 + 128) * step, (v * 224 + 128) * step]
    )
    tolerance = 1.35 if full else 0.8
    for got, expected in zip(planes, want, strict=True):
        assert (got[0].double() - expected).abs().max() < tolerance
    back = yuv_to_rgb(*planes, fmt, matrix, full)
    assert (back.float() - clip).abs().max() <= (3 if bits == 8 else 1)


def test_chroma_is_sited_left():
    """A horizontal ramp of blue: left-sited chroma is that of the even columns, half a pixel off the centre's."""
    ramp = torch.zeros(1, 3, 16, 64, dtype=torch.uint8)
    ramp[:, 2] = (torch.arange(64) * 4).byte()
    _, full_u, _ = rgb_to_yuv(ramp, "yuv444p", "bt601")
    _, half_u, _ = rgb_to_yuv(ramp, "yuv420p", "bt601")
    left, right = full_u[0, ::2, 0::2].int(), full_u[0, ::2, 1::2].int()
    inner = slice(4, -4)
    assert (half_u[0] - left)[:, inner].abs().max() <= 1
    assert (half_u[0] - left)[:, inner].abs().sum() * 3 < (half_u[0] - (left + right) / 2)[:, inner].abs().sum()


@pytest.mark.parametrize("size", [(16, 24), (15, 23), (1, 1)])
def test_420_is_padded_to_even_and_cropped_again(size):
    clip = picture(*size)
    y, u, v = to_yuv420p(clip)
    even = tuple(n + n % 2 for n in size)
    assert y.shape == (2, *even) and u.shape == v.shape == (2, even[0] // 2, even[1] // 2)
    back = from_yuv420p(y, u, v, size=size)
    assert back.shape == clip.shape and back.is_contiguous()
    assert torch.equal(back, from_yuv420p(*to_yuv420p(clip), size=size)), "the same every time"


def test_grey_stays_grey_exactly():
    grey = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    for matrix in MATRICES:
        back = from_yuv420p(*to_yuv420p(grey, matrix), matrix)
        assert torch.equal(back[:, 0], back[:, 1]) and torch.equal(back[:, 0], back[:, 2])
        assert (back.int() - grey).abs().max() <= 1


def test_the_default_matrix_goes_by_lines():
    assert (default_matrix(719), default_matrix(720)) == ("bt601", "bt709")
    tall = picture(720, 16, 1)
    for clip, matrix in ((tall, "bt709"), (tall[..., :719, :], "bt601"), (tall[..., :480, :], "bt601")):
        for ours, theirs in zip(to_yuv420p(clip), to_yuv420p(clip, matrix), strict=True):
            assert torch.equal(ours, theirs)
    assert not torch.equal(to_yuv420p(tall, "bt601")[0], to_yuv420p(tall, "bt709")[0])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
@pytest.mark.parametrize(("matrix", "full"), [("bt601", False), ("bt709", False), ("bt709", True), ("bt2020", False)])
def test_the_stream_carries_matrix_and_range(tmp_path, name, matrix, full):
    lossless = {
        "a.mp4": {"options": {"qp": "0"}},
        "a.mkv": {"codec": "ffv1"},
        "a.webm": {"options": {"lossless": "1"}},
    }[name]
    clip, path = picture(), tmp_path / name
    write_clip(path, clip, 25, matrix=matrix, full_range=full, pix_fmt="yuv444p", **lossless)
    info = probe(path)
    assert (info.matrix, info.full_range) == (matrix, full)
    planes = rgb_to_yuv(clip, "yuv444p", matrix, full)
    assert torch.equal(read_clip(path), yuv_to_rgb(*planes, "yuv444p", matrix, full))
    said = {"matrix": "bt601" if matrix != "bt601" else "bt709", "full_range": not full}
    assert torch.equal(read_clip(path, **said), yuv_to_rgb(*planes, "yuv444p", *said.values())), "arguments win"


def test_raw_files_take_matrix_and_range_from_the_arguments(tmp_path):
    clip, path = picture(), tmp_path / "a_52x36_25_10bit.yuv"
    write_clip(path, clip, 25, matrix="bt709", full_range=True, pix_fmt="yuv420p10le")
    planes = rgb_to_yuv(clip, "yuv420p10le", "bt709", True)
    assert path.read_bytes() == b"".join(p[t].numpy().tobytes() for t in range(len(clip)) for p in planes)
    assert torch.equal(
        read_clip(path, matrix="bt709", full_range=True), yuv_to_rgb(*planes, "yuv420p10le", "bt709", True)
    )
    assert probe(path).matrix == "bt601"


def test_wrong_arguments():
    with pytest.raises(VideoError, match="unknown colour matrix 'rec709'"):
        to_yuv420p(picture(), "rec709")
    with pytest.raises(ValueError, match="uint8 clip"):
        to_yuv420p(picture().float())
    y, u, v = to_yuv420p(picture())
    with pytest.raises(ValueError, match="yuv444p of 52x36"):
        yuv_to_rgb(y, u, v, "yuv444p")
