"""Raw planar YUV files, which say nothing about themselves but in their name."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from pvc.errors import VideoError
from pvc.video import color
from pvc.video.info import Asked, frame_rate
from pvc.video.pipe import is_pipe


@dataclass(frozen=True)
class RawName:
    """What the name of a raw file says; None where it says nothing."""

    width: int | None = None
    height: int | None = None
    fps: Fraction | None = None
    pix_fmt: str = "yuv420p"


def parse_raw_name(path: Path) -> RawName:
    """Size, rate and format from a name as HEVC-CTC, JVET, UVG and MCL-JCV give them.

    ``Kimono1_1920x1080_24.yuv``, ``Nebuta_2560x1600_60_10bit_crop.yuv``, ``Beauty_1920x1080_120fps_420_10bit_YUV.yuv``.
    The rate is the first plain number after the size; a name that says nothing else means 4:2:0 and 8 bits.
    """
    size = re.search(r"(?<!\d)(\d{2,5})x(\d{2,5})(?!\d)", path.stem)
    if size is None:
        return RawName(pix_fmt=_pix_fmt(re.split(r"[_\- ]", path.stem.lower())))
    tokens = re.split(r"[_\- ]", path.stem[size.end() :].lower())
    rates = (re.fullmatch(r"(\d+(?:\.\d+)?)(fps|hz)?", t) for t in tokens)
    rate = next((r[1] for r in rates if r and (r[2] or r[1] not in {"400", "420", "422", "444"})), None)
    fps = _rate(rate) if rate and float(rate) > 0 else None
    return RawName(int(size[1]), int(size[2]), fps, _pix_fmt(tokens))


def _rate(text: str) -> Fraction:
    near = {"23.976": 24, "23.98": 24, "29.97": 30, "59.94": 60, "119.88": 120}
    return Fraction(near[text] * 1000, 1001) if text in near else Fraction(text)


def _pix_fmt(tokens: list[str]) -> str:
    chroma, depth = "420", 8
    for t in tokens:
        if m := re.fullmatch(r"(?:yuv)?(420|422|444)(?:p?(\d{1,2})(?:le|bit)?|p)?", t):
            chroma, depth = m[1], int(m[2] or depth)
        elif m := re.fullmatch(r"(\d{1,2})b(?:its?)?", t):
            depth = int(m[1])
    return f"yuv{chroma}p" + (f"{depth}le" if depth > 8 else "")


def raw_options(path: Path, start: int, asked: Asked) -> tuple[dict[str, str], int | None]:
    """FFmpeg's rawvideo options to read from frame ``start``, and the number of whole frames (None for a pipe).

    Raises:
        VideoError: size or rate are known neither from the name nor from ``asked``, or the format is unknown.
    """
    name = parse_raw_name(path)
    width, height = asked.width or name.width, asked.height or name.height
    rate, pix_fmt = asked.fps or name.fps, asked.pix_fmt or name.pix_fmt
    if not width or not height:
        raise VideoError(f"{path}: unknown frame size; name it like clip_416x240_50.yuv or give width and height")
    if not rate:
        raise VideoError(f"{path}: unknown frame rate; name it like clip_416x240_50.yuv or give fps")
    try:
        size = sum(p.nbytes for p in color.planes_of(av.VideoFrame(width, height, pix_fmt)))
    except ValueError as e:
        raise VideoError(
            f"{path}: unknown pixel format {pix_fmt!r}; give pix_fmt, such as yuv420p or yuv420p10le"
        ) from e
    options = {
        "video_size": f"{width}x{height}",
        "pixel_format": pix_fmt,
        "framerate": str(frame_rate(rate, path)),
        "skip_initial_bytes": str(start * size),
    }
    return options, None if is_pipe(path) else path.stat().st_size // size
