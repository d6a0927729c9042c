"""What is known of a clip before its pixels."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pvc.errors import VideoError

DEFAULT_FPS = Fraction(25)  # of pictures, which have no rate; FFmpeg's default as well


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a clip.

    Attributes:
        width, height: size in pixels as the frames are handed out (a turned phone clip is turned upright).
        fps: frames a second; for variable frame rate the average, and the frames are those that were coded.
        frames: number of frames; None for containers, whose own number may be wrong (:func:`pvc.video.probe` counts).
        pix_fmt: FFmpeg's name of the stored pixel format.
        matrix: ``bt601``, ``bt709`` or ``bt2020``; without meaning for RGB sources.
        full_range: True where luma spans 0..255, False for 16..235.
    """

    width: int
    height: int
    fps: Fraction
    frames: int | None
    pix_fmt: str
    matrix: str
    full_range: bool


@dataclass(frozen=True)
class Asked:
    """What the caller of :func:`pvc.video.open_video` says of a clip; None where the file is to say it."""

    width: int | None = None
    height: int | None = None
    fps: Fraction | float | None = None
    pix_fmt: str | None = None
    matrix: str | None = None
    full_range: bool | None = None

    def check(self, path: Path, width: int, height: int, pix_fmt: str) -> None:
        """VideoError if the file at ``path`` is not what was asked for."""
        for what, found in {"width": width, "height": height, "pix_fmt": pix_fmt}.items():
            asked = getattr(self, what)
            if asked is not None and asked != found:
                raise VideoError(f"{path}: {what} is {found}, not {asked}; leave {what} out, it is for raw .yuv files")


def frame_rate(fps: Fraction | float, path: Path) -> Fraction:
    """``fps`` as a fraction; VideoError if it is no rate."""
    if not 0 < fps < 10_000:
        raise VideoError(f"{path}: {fps} frames a second is not a frame rate; give fps")
    return Fraction(fps).limit_denominator(1001)
