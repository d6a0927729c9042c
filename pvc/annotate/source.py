"""A clip at the tool's size, and its edges."""

import shutil
from collections.abc import Mapping
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pvc.annotate.movies import pictures_of
from pvc.errors import DataError
from pvc.video import VideoInfo, VideoReader, VideoWriter


def write_source(path: Path, folder: Path, asked: Mapping[str, Any]) -> tuple[Fraction, int, tuple[int, int]]:
    """Write ``source.mkv``: raw 4:2:0 at the tool's size. Its frame rate, number of frames, and (height, width)."""
    target = folder / "source.mkv"
    with VideoReader(path) as reader:
        info = reader.info
        size = fitted(info, asked["width"], asked["height"])
        if not target.is_file():
            frames = islice(reader, max(1, int(asked["seconds"] * info.fps)))
            about = {"codec": "rawvideo", "pix_fmt": "yuv420p", "fps": info.fps}
            with VideoWriter(target, height=size[0], width=size[1], **about) as writer:
                for frame in frames:
                    writer.write(scaled(frame, size))
    count = sum(1 for _ in pictures_of(target))
    if count < 2:
        raise DataError(f"{path} has {count} frame in its first {asked['seconds']:g} s; painting needs at least 2")
    return info.fps, count, size


def fitted(info: VideoInfo, width: int, height: int) -> tuple[int, int]:
    """(height, width) of the clip scaled to fit ``width`` x ``height``: its aspect, in even numbers."""
    scale = min(width / info.width, height / info.height)
    return tuple(max(16, 2 * round(n * scale / 2)) for n in (info.height, info.width))


def scaled(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 ``[3, H, W]`` at ``size`` (H, W): averaged when it gets smaller, bicubic when larger."""
    if frame.shape[1:] == size:
        return frame
    how = cv2.INTER_AREA if size[0] < frame.shape[1] else cv2.INTER_CUBIC
    picture = cv2.resize(frame.permute(1, 2, 0).numpy(), size[::-1], interpolation=how)
    return torch.from_numpy(picture).permute(2, 0, 1).contiguous()


def write_edges(source: Path, folder: Path, asked: Mapping[str, Any]) -> None:
    """Each frame's edges, white on nothing, as PNG of two colours."""
    partial = folder / ".edges.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    with VideoReader(source) as frames:
        for t, frame in enumerate(frames):
            grey = cv2.cvtColor(np.ascontiguousarray(frame.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2GRAY)
            edges = cv2.Canny(cv2.GaussianBlur(grey, (0, 0), 1), asked["low"], asked["high"]) > 0
            picture = Image.fromarray(edges.astype(np.uint8), "P")
            picture.putpalette([0, 0, 0, 255, 255, 255])
            picture.save(partial / f"{t:05d}.png", transparency=0, bits=1)
    partial.replace(folder / "edges")
