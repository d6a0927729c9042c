"""Sequences whose frames are picture files, read one by one as they are needed."""

from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Sequence as Paths
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch
from torch import Tensor

from pvc.data.sequence import Box, Sequence
from pvc.errors import DataError
from pvc.video.images import read_pixels


@dataclass
class PictureSequence(Sequence):
    """A sequence of pictures of one size; derived classes say which file is frame ``i``."""

    @abstractmethod
    def frame_file(self, i: int) -> Path: ...

    def png(self, number: int) -> bytes | None:
        file = self.frame_file(number)
        return file.read_bytes() if file.suffix.lower() == ".png" else None

    def _read(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        box = box or Box(0, 0, self.height, self.width)
        frames = torch.empty(count, 3, box.height, box.width, dtype=torch.uint8)
        for i, frame in enumerate(frames.numpy()):
            file = self.frame_file(start + i * step)
            pixels = read_pixels(file)
            self._check_size(file, *pixels.shape[:2])
            window = pixels[box.top : box.top + box.height, box.left : box.left + box.width]
            cv2.split(window, list(frame))  # only the window is copied, and faster than PyTorch and NumPy do it
        return frames

    def _stack(self, files: Paths[Path], read: Callable[[Path], Tensor], box: Box | None) -> Tensor:
        frames = []
        for file in files:
            frame = read(file)
            self._check_size(file, *frame.shape[1:])
            frames.append(frame if box is None else box.cut(frame))
        return torch.stack(frames)

    def _check_size(self, file: Path, height: int, width: int) -> None:
        if (height, width) != (self.height, self.width):
            raise DataError(
                f"{file} is {width}x{height}; {self.dataset}/{self.name} is {self.width}x{self.height}, and all its "
                "frames and masks must be"
            )


def read_list(file: Path) -> list[str]:
    """The lines of a list of a data set, without empty ones.

    Raises:
        DataError: there is no such file, or nothing in it.
    """
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except OSError as error:
        raise DataError(f"{file}: cannot read this list of the data set ({error.strerror})") from error
    if not (lines := [line for line in lines if line]):
        raise DataError(f"{file} is empty")
    return lines
