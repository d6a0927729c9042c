"""Looking ahead in a file or pipe."""

from collections.abc import Callable
from typing import BinaryIO, TypeVar

T = TypeVar("T")
_CHUNK = 1 << 16


class Window:
    """The next bytes of a binary file, which may be a pipe; what is looked at stays until it is skipped.

    Attributes:
        position: offset of the next byte from where the file stood at the start.
        seekable: whether :meth:`seek` works.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._read = getattr(file, "read1", file.read)  # read1 takes what a pipe has, without waiting for more
        self._ahead, self._at = b"", 0
        self.position = 0
        self.seekable = file.seekable()
        self._origin = file.tell() if self.seekable else 0

    def peek(self, count: int) -> bytes:
        """The next ``count`` bytes, or all that there are; memory grows with what is there, not with ``count``."""
        have = len(self._ahead) - self._at
        if have < count:
            parts = [self._ahead[self._at :]]
            while have < count and (part := self._read(_CHUNK)):
                parts.append(part)
                have += len(part)
            self._ahead, self._at = b"".join(parts), 0
        return self._ahead[self._at : self._at + count]

    def parse(self, what: Callable[[bytes], T], longest: int) -> T:
        """``what`` of the next bytes, of no more than it needs: a pipe's next frame may be long in coming.

        Args:
            what: raises ``IndexError`` where the bytes end too early. longest: how many it can need.
        """
        count = len(self._ahead) - self._at
        while True:
            data = self.peek(min(count, longest))
            try:
                return what(data)
            except IndexError:
                if count >= longest or len(self.peek(count + 1)) <= count:
                    raise
                count = len(self._ahead) - self._at

    def skip(self, count: int) -> None:
        """Moves on by ``count`` bytes that have been looked at."""
        self._at += count
        self.position += count

    def seek(self, position: int) -> None:
        """Moves to ``position``."""
        self._file.seek(self._origin + position)
        self._ahead, self._at, self.position = b"", 0, position

    def size(self) -> int:
        """Length of a seekable file from where it stood at the start, in bytes."""
        end = self._file.seek(0, 2) - self._origin
        self.seek(self.position)
        return end
