"""Sequences whose frames are picture files, read one by one as they are needed."""

from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Sequence as Paths
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pvc.data.sequence import Box, Sequence
from pvc.errors import DataError
from pvc.video.images import read_rgb


@dataclass
class PictureSequence(Sequence):
    """A sequence of pictures of one size; derived classes say which file is frame ``i``."""

    @abstractmethod
    def frame_file(self, i: int) -> Path: ...

    def _read(self, start: int, count: int, box: Box | None) -> Tensor:
        return self._stack([self.frame_file(i) for i in range(start, start + count)], read_rgb, box)

    def _stack(self, files: Paths[Path], read: Callable[[Path], Tensor], box: Box | None) -> Tensor:
        frames = []
        for file in files:
            frame = read(file)
            if frame.shape[1:] != (self.height, self.width):
                raise DataError(
                    f"{file} is {frame.shape[2]}x{frame.shape[1]}; {self.dataset}/{self.name} is "
                    f"{self.width}x{self.height}, and all its frames and masks must be"
                )
            frames.append(frame if box is None else box.cut(frame))
        return torch.stack(frames)


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
