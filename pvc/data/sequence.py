"""What every data set is made of: a clip that can be read in parts, with its mask where there is one."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from torch import Tensor

from pvc.errors import DataError

_CHUNK = 8
"""Frames that a stream reads at once."""


class Box(NamedTuple):
    """A window of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, frames: Tensor) -> Tensor:
        """The window of ``[..., H, W]``."""
        return frames[..., self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass
class Sequence(ABC):
    """A clip of a data set. Sources derive from it and say how frames are read."""

    dataset: str
    name: str
    frames: int
    height: int
    width: int
    fps: Fraction

    @property
    def has_mask(self) -> bool:
        """Whether :meth:`read_mask` gives a map."""
        return False

    def read(self, start: int = 0, count: int | None = None, box: Box | None = None, step: int = 1) -> Tensor:
        """Frames ``start, start + step, ...``, ``count`` of them (to the end without), uint8 RGB ``[T, 3, H, W]``.

        Args:
            box: read this window of the frames only.
            step: distance between the frames; pictures that lie between are not read.

        Raises:
            DataError: the sequence has no such frames.
            PvcError: a file is missing or broken; the message names it.
        """
        return self._whole(self._read(start, n := self._count(start, count, step), box, step), n, box, "frame")

    def read_mask(
        self, start: int = 0, count: int | None = None, box: Box | None = None, step: int = 1
    ) -> Tensor | None:
        """The importance map of the same frames, float32 ``[T, 1, H, W]`` in [0, 1], or None where there is none."""
        if not self.has_mask:
            return None
        return self._whole(self._read_mask(start, n := self._count(start, count, step), box, step), n, box, "mask")

    def stream(self, count: int | None = None) -> Iterator[Tensor]:
        """The first ``count`` frames (all without it) one by one, uint8 RGB ``[3, H, W]``, in constant memory.

        Raises:
            DataError, PvcError: as :meth:`read`, at the frame where it shows.
        """
        return self._whole_stream(self._stream(n := self._count(0, count)), n, "frame")

    def stream_mask(self, count: int | None = None) -> Iterator[Tensor] | None:
        """The importance maps of the same frames, float32 ``[1, H, W]`` each, or None where there are none."""
        if not self.has_mask:
            return None
        return self._whole_stream(self._stream_mask(n := self._count(0, count)), n, "mask")

    def png(self, number: int) -> bytes | None:
        """A frame as the PNG file that the data set has of it; None where it has none."""
        return None

    @abstractmethod
    def _read(self, start: int, count: int, box: Box | None, step: int) -> Tensor: ...

    def _read_mask(self, start: int, count: int, box: Box | None, step: int) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} says that it has a mask but cannot read it")

    def _stream(self, count: int) -> Iterator[Tensor]:
        for start in range(0, count, _CHUNK):
            yield from self._read(start, min(_CHUNK, count - start), None, 1)

    def _stream_mask(self, count: int) -> Iterator[Tensor]:
        for start in range(0, count, _CHUNK):
            yield from self._read_mask(start, min(_CHUNK, count - start), None, 1)

    def _whole_stream(self, frames: Iterator[Tensor], count: int, what: str) -> Iterator[Tensor]:
        found = 0
        for frame in frames:
            self._whole(frame[None], 1, None, what)
            found += 1
            yield frame
        if found != count:
            raise DataError(
                f"{self.dataset}/{self.name}: there are {found} {what}s where {count} were expected; "
                "the files changed or are broken"
            )

    def _whole(self, read: Tensor, count: int, box: Box | None, what: str) -> Tensor:
        expected = (count, box.height, box.width) if box else (count, self.height, self.width)
        if (found := (len(read), *read.shape[2:])) != expected:
            raise DataError(
                f"{self.dataset}/{self.name}: {what}s are {found[2]}x{found[1]}, {found[0]} of them, where "
                f"{expected[2]}x{expected[1]}, {expected[0]} of them, were expected; the files changed or are broken"
            )
        return read

    def _count(self, start: int, count: int | None, step: int = 1) -> int:
        count = -(-(self.frames - start) // step) if count is None else count
        if start < 0 or count < 1 or step < 1 or start + (count - 1) * step >= self.frames:
            apart = f", {step} apart," if step != 1 else ""
            raise DataError(
                f"{self.dataset}/{self.name} has frames 0 to {self.frames - 1}; {count} from frame {start}{apart} do "
                "not exist"
            )
        return count
