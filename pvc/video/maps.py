"""Importance maps as grey clips: float32 ``[T, 1, H, W]`` in [0, 1], stored with 8 bits a value."""

from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from pvc.errors import VideoError
from pvc.video.reader import read_frames
from pvc.video.writer import VideoWriter


def read_map(path: str | Path, start: int = 0, count: int | None = None) -> Tensor:
    """An importance map from a grey clip or folder of pictures.

    Grey of 8 to 16 bits is divided by its largest value; of a YUV clip it is the luma, stretched to [0, 1].

    Returns:
        float32 ``[T, 1, H, W]`` in [0, 1]; start and count as in :func:`pvc.video.read_clip`.

    Raises:
        VideoError: as :func:`pvc.video.read_clip`; a picture of the folder has colours.
    """
    return torch.stack(read_frames(path, start, count, grey=True))


class MapWriter:
    """Writes maps one by one in 255 steps (off by at most 1/510): FFV1 grey for ``.mkv``, PNGs for a folder.

    Args:
        path, width, height, fps: those of :class:`pvc.video.VideoWriter`, whose promises and errors it shares.

    Raises:
        VideoError: another kind of file, which could not keep the values; values outside [0, 1], or not finite.
    """

    def __init__(self, path: str | Path, *, width: int, height: int, fps: Fraction | float) -> None:
        self._path = path = Path(path)
        if path.suffix.lower() not in {".mkv", "", ".mask"} and not path.is_dir():
            raise VideoError(f"{path}: maps are written as .mkv or a folder of PNGs, nothing else keeps their values")
        file = {"pix_fmt": "gray", "full_range": True} if path.suffix.lower() == ".mkv" else {}
        self._writer = VideoWriter(path, width=width, height=height, fps=fps, **file)

    def write(self, q: Tensor) -> None:
        """Appends float32 ``[1, H, W]`` in [0, 1]."""
        if q.ndim != 3 or q.shape[0] != 1:
            raise ValueError(f"expected a map [1, H, W], got {list(q.shape)}")
        if not bool(((q >= 0) & (q <= 1)).all()):  # also catches NaN
            self._writer.discard()
            raise VideoError(f"{self._path}: a map's values must lie in [0, 1]")
        self._writer.write((q * 255).round().to(torch.uint8))

    def __enter__(self) -> "MapWriter":
        return self

    def __exit__(self, kind: type | None, *exc: object) -> None:
        self._writer.__exit__(kind, *exc)


def write_map(path: str | Path, map: Tensor, fps: Fraction | float) -> None:
    """Writes float32 ``[T, 1, H, W]`` in [0, 1] as :class:`MapWriter` does.

    Raises:
        VideoError: as :class:`MapWriter`.
    """
    if map.ndim != 4 or map.shape[1] != 1:
        raise ValueError(f"expected a map [T, 1, H, W], got {list(map.shape)}")
    with MapWriter(path, width=map.shape[-1], height=map.shape[-2], fps=fps) as writer:
        for q in map:
            writer.write(q)
