"""Importance maps as grey clips: float32 ``[T, 1, H, W]`` in [0, 1], stored with 8 bits a value."""

from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from pvc.errors import VideoError
from pvc.video.reader import read_frames
from pvc.video.writer import write_clip


def read_map(path: str | Path, start: int = 0, count: int | None = None) -> Tensor:
    """An importance map from a grey clip or folder of pictures.

    Grey of 8 to 16 bits is divided by its largest value; of a YUV clip it is the luma, stretched to [0, 1].

    Returns:
        float32 ``[T, 1, H, W]`` in [0, 1]; start and count as in :func:`pvc.video.read_clip`.

    Raises:
        VideoError: as :func:`pvc.video.read_clip`; a picture of the folder has colours.
    """
    return torch.stack(read_frames(path, start, count, grey=True))


def write_map(path: str | Path, map: Tensor, fps: Fraction | float) -> None:
    """Writes float32 ``[T, 1, H, W]`` in [0, 1], rounded to 255 steps: FFV1 grey for ``.mkv``, PNGs for a folder.

    Raises:
        VideoError: another kind of file, which could not keep the values; values outside [0, 1]; as ``VideoWriter``.
    """
    path = Path(path)
    if path.suffix.lower() not in {".mkv", "", ".mask"} and not path.is_dir():
        raise VideoError(f"{path}: maps are written as .mkv or as a folder of PNGs, nothing else keeps their values")
    if map.ndim != 4 or map.shape[1] != 1:
        raise ValueError(f"expected a map [T, 1, H, W], got {list(map.shape)}")
    if not bool(((map >= 0) & (map <= 1)).all()):
        raise VideoError(f"{path}: a map's values must lie in [0, 1]")
    grey = (map * 255).round().to(torch.uint8)
    file = {"pix_fmt": "gray", "full_range": True} if path.suffix.lower() == ".mkv" else {}
    write_clip(path, grey, fps, **file)
