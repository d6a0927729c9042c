"""Standard input and output in the place of files: the name ``-``."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pvc.errors import VideoError

_HEAD = 4096


def is_pipe(path: str | Path) -> bool:
    """Whether the name stands for standard input or output."""
    return str(path) == "-"


def standard_input() -> BinaryIO:
    """The bytes of standard input.

    Raises:
        VideoError: it is closed, or a keyboard.
    """
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise VideoError("standard input is a terminal; pipe something into it, or name a file")
    return sys.stdin.buffer


def standard_output() -> BinaryIO:
    """Standard output for bytes.

    Raises:
        VideoError: it is closed, or a screen.
    """
    if sys.stdout is None or sys.stdout.closed or sys.stdout.isatty():
        raise VideoError("standard output is a terminal; pipe it into something, or name a file")
    sys.stdout.flush()
    return sys.stdout.buffer


class Pipe:
    """Standard input or output as a file for FFmpeg, which cannot seek in it.

    FFmpeg's callbacks swallow an interrupt and go on after an error; both are kept here and end the transfer: FFmpeg
    meets the end of the data, or writes to nobody, and :meth:`check` raises what was kept, as often as it is asked.

    Attributes:
        read: gives up to so many bytes, as soon as there are some.
        write: writes all of the bytes at once, for the one who reads them.
        head: the first 4096 bytes that were read. taken: how many bytes were read.
        error: what reading or writing raised, but for an interrupt.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._interrupted: KeyboardInterrupt | SystemExit | None = None
        self.error: Exception | None = None
        self.head, self.taken = b"", 0
        self.read, self.write = self._kept(self._read), self._kept(self._write)

    def _kept(self, transfer: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """``transfer`` for FFmpeg to call."""
        calls = self._calls(transfer)
        next(calls)
        return calls.send

    def _calls(self, transfer: Callable[[Any], Any]) -> Iterator[Any]:
        """A generator is within its ``try`` when it is called: what was pressed in FFmpeg's own code is met there."""
        result = None
        while True:
            try:
                while True:
                    given = yield result
                    result = transfer(given)
            except (KeyboardInterrupt, SystemExit) as interrupt:
                self._interrupted, result = interrupt, b""
            except Exception as error:
                self.error, result = error, b""

    def _read(self, count: int) -> bytes:
        data = b"" if self._ended else self._file.read1(count)
        self.head += data[: _HEAD - len(self.head)]
        self.taken += len(data)
        return data

    def _write(self, data: bytes) -> int:
        if not self._ended:
            self._file.write(data)
            self._file.flush()
        return len(data)

    @property
    def _ended(self) -> bool:
        return self._interrupted is not None or self.error is not None

    def hint(self) -> str:
        """Why what was read may be no clip."""
        if not self.taken:
            return " (there is nothing in it)"
        if self.head[4:8] == b"ftyp":
            return " (in a pipe an mp4 has to be one for streaming: FFmpeg's -movflags +faststart)"
        return ""

    def check_interrupt(self) -> None:
        """Raises the interrupt that came while FFmpeg was reading or writing."""
        if self._interrupted is not None:
            raise self._interrupted

    def check(self) -> None:
        """Raises what ended the transfer: the interrupt, or the error."""
        self.check_interrupt()
        if self.error is not None:
            raise self.error
