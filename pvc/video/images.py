"""Folders of PNG or JPEG pictures as clips."""

import re
from collections.abc import Iterator
from pathlib import Path

import kornia_rs.io
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pvc.errors import VideoError
from pvc.video.color import check_matrix
from pvc.video.info import DEFAULT_FPS, Asked, VideoInfo, frame_rate

SUFFIXES = {".png", ".jpg", ".jpeg"}


class Pictures:
    """A folder of pictures, or one picture, as the source of a :class:`pvc.video.VideoReader`."""

    drift = 0.0  # pictures have no times

    def __init__(self, path: Path, start: int, grey: bool, asked: Asked) -> None:
        files = list_images(path)
        self._read = read_grey if grey else read_rgb
        self._size = image_size(files[0])
        asked.check(path, *self._size, "rgb24")
        matrix = check_matrix(asked.matrix, self._size[1])
        rate = frame_rate(asked.fps or DEFAULT_FPS, path)
        self.info = VideoInfo(*self._size, rate, len(files), "rgb24", matrix, True)
        self._files = files[start:]

    def frames(self) -> Iterator[Tensor]:
        """The pictures from ``start`` on; VideoError names one that is broken or of another size than the first."""
        for file in self._files:
            frame = self._read(file)
            if (frame.shape[2], frame.shape[1]) != self._size:
                here, first = f"{frame.shape[2]}x{frame.shape[1]}", "x".join(map(str, self._size))
                raise VideoError(f"{file}: is {here}, the first picture is {first}; all frames must have one size")
            yield frame

    def close(self) -> None:
        """Nothing is open between frames."""


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sort key that puts ``frame2`` before ``frame10``."""
    return [(0, int(t)) if t.isdecimal() else (1, t) for t in re.split(r"(\d+)", path.name) if t]


def list_images(path: Path) -> list[Path]:
    """The pictures of a folder in natural order, or the picture itself; hidden files are passed over.

    Raises:
        VideoError: the folder cannot be read, holds no PNG or JPEG, or holds both.
    """
    if path.is_file():
        return [path]
    try:
        entries = list(path.iterdir())
    except OSError as e:
        raise VideoError(f"{path}: cannot read the folder ({e.strerror})") from e
    files = [p for p in entries if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    if not files:
        raise VideoError(f"{path}: no PNG or JPEG pictures in this folder; give the folder that holds the frames")
    if len({p.suffix.lower() == ".png" for p in files}) > 1:
        raise VideoError(f"{path}: both PNG and JPEG pictures in this folder; a clip is of one kind")
    return sorted(files, key=natural_key)


def read_rgb(path: Path) -> Tensor:
    """uint8 ``[3, H, W]``. Transparency is ignored; 16-bit grey is rounded to 8 bits."""
    return torch.from_numpy(read_pixels(path)).permute(2, 0, 1).contiguous()


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """The same as ``[H, W, 3]``, as decoders give it: for those who need a part of it."""
    if path.suffix.lower() == ".png" and (pixels := _read_png(path)) is not None:
        return pixels
    with _open(path) as image:
        if image.mode.startswith("I"):
            return (_grey16(image) * 255 + 0.5).astype(np.uint8)[..., None].repeat(3, axis=2)
        return np.array(image.convert("RGB"))


def _read_png(path: Path) -> NDArray[np.uint8] | None:
    try:
        return decode_png(path.read_bytes())
    except OSError:  # which PIL runs into as well, to say what is wrong
        return None


def decode_png(data: bytes) -> NDArray[np.uint8] | None:
    """An ordinary PNG (RGB, 8 bits, not interlaced), ``[H, W, 3]``; None for any other and for a damaged one.

    The Rust decoder takes a third of PIL's time (``benchmarks/png_decoders.py``). It refuses whatever is not exactly
    right, and PIL decides about that.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[24:29] != b"\x08\x02\x00\x00\x00":
        return None
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    if not 0 < width * height <= Image.MAX_IMAGE_PIXELS:  # beyond it PIL warns and refuses
        return None
    try:
        return kornia_rs.io.decode_image_png_u8(data, (height, width), "rgb")
    except Exception:  # the library has no class of its own
        return None


def read_grey(path: Path) -> Tensor:
    """float32 ``[1, H, W]`` in [0, 1] from a grey picture of 1, 8 or 16 bits.

    Raises:
        VideoError: the picture is broken, transparent somewhere, or has colours (such as a palette of object numbers).
    """
    with _open(path) as image:
        if image.has_transparency_data and image.convert("RGBA").getextrema()[3][0] < 255:
            raise VideoError(f"{path}: a map must not be transparent (what would count there?); save it without alpha")
        if image.mode.startswith("I"):
            return torch.from_numpy(_grey16(image))[None]
        rgb = np.asarray(image.convert("RGB"))
    if (rgb != rgb[..., :1]).any():
        raise VideoError(f"{path}: a map must be grey, this picture has colours (object numbers are no map)")
    return torch.from_numpy(rgb[..., 0].astype(np.float32) / 255)[None]


def image_size(path: Path) -> tuple[int, int]:
    """(width, height), from the header only."""
    with _open(path, load=False) as image:
        return image.size


def _grey16(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(np.float32) / 65535


def _open(path: Path, load: bool = True) -> Image.Image:
    try:
        image = Image.open(path)
        if load:
            image.load()
    except (UnidentifiedImageError, SyntaxError) as e:
        raise VideoError(f"{path}: not a readable picture") from e
    except (OSError, ValueError, Image.DecompressionBombError) as e:
        raise VideoError(f"{path}: cannot read the picture ({getattr(e, 'strerror', None) or e})") from e
    return image
