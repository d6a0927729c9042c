"""Reading ``.pvc`` streams: frame by frame, from a given frame on, and past damage (``docs/format.md``)."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO
from zlib import crc32

from pvc.entropy.container import (
    LONGEST_HEAD,
    LONGEST_HEADER,
    Frame,
    Head,
    checksum_of,
    low_half,
    parse_head,
    parse_header,
    read_varint,
    varint,
)
from pvc.entropy.window import Window
from pvc.errors import BitstreamError

MAX_PIXELS = 35_651_584  # 8192 x 4352, the largest frame of level 6 of HEVC and AV1
MAX_GAP = 65_536  # frames; no group of pictures is longer
_MAX_DATA = 1 << 28  # bytes
_STEP = 4096


@dataclass
class Concealment:
    """Asks a decoder to go on after damage, and says what it had to make up.

    Attributes:
        frames: how many were missing or damaged. first: the number of the first of them. reason: what was wrong first.
    """

    frames: int = 0
    first: int | None = None
    reason: str | None = None

    def note(self, reason: str) -> None:
        """Something is wrong; the first reason is kept."""
        self.reason = self.reason or reason

    def count(self, number: int) -> None:
        """Frame ``number`` is made up."""
        self.first = number if self.first is None else self.first
        self.frames += 1


class StreamReader:
    """The frames of a stream, from bytes or from a binary file or pipe that stands at its beginning.

    Only the record at hand is in memory.

    Args:
        source: the stream. max_pixels: the largest width x height that is taken. A decoder's memory grows with it, and
            a header of a few bytes may claim any size.

    Attributes:
        header: the stream's :class:`pvc.entropy.container.Header`.
        count: how many frames there are; None until that is known.
        key_offset: offset of the last key frame that was read, in bytes.
        position: bytes that were read so far, damaged ones too.

    Raises:
        BitstreamError: not a .pvc stream, of another version, or its header is cut, damaged or beyond ``max_pixels``.
    """

    def __init__(self, source: bytes | BinaryIO, max_pixels: int = MAX_PIXELS):
        self._window = Window(BytesIO(source) if isinstance(source, bytes) else source)
        try:
            self.header, self._start = self._window.parse(parse_header, LONGEST_HEADER)
        except IndexError:
            raise BitstreamError(
                "the stream ends inside its header; nothing of it can be decoded"
                if self._window.peek(1)
                else "there is nothing in it; give a stream that `pvc encode` wrote"
            ) from None
        width, height = self.header.width, self.header.height
        if width * height > max_pixels:
            raise BitstreamError(
                f"the stream says that its frames are {width}x{height}, above the limit of {max_pixels} pixels; "
                "if you trust it, raise the limit (--max-pixels)"
            )
        self._seed = checksum_of(self._window.peek(self._start))
        self._window.skip(self._start)
        # However they are coded, the symbols of a frame take less; a damaged length may say anything.
        held = self.header.gop if self.header.base else 1  # a key frame also has its group of pictures' base layer
        self._longest = min((1 << 16) + 16 * width * height * held, _MAX_DATA)
        self._crc: int | None = None  # of the group of pictures so far; None where none has begun
        self._beta = 0
        self.count = self.header.frames
        self.key_offset = self._start

    @property
    def position(self) -> int:
        """See the class."""
        return self._window.position

    def frames(self, start: int = 0, conceal: Concealment | None = None) -> Iterator[Frame]:
        """The frames from the last key frame at or before ``start`` on; a pipe always gives all from frame 0.

        Args:
            conceal: damage is noted here instead of raised; frames that it took are given without data.

        Raises:
            BitstreamError: at the first frame that is missing or damaged; those before it have been given out. Or the
                stream ends before frame ``start``, as far as that is known yet.
        """
        number = self._to_key(start) if start and self._window.seekable else 0
        while True:
            try:
                frame = self._next(number, exact=conceal is None)
            except BitstreamError as error:
                if conceal is None:
                    raise
                conceal.note(str(error))
                if self._resynchronise(number):
                    continue
                frame = None
            reached = frame.number if frame is not None else max(self.count or 0, number)
            if reached - number > MAX_GAP:
                raise BitstreamError(f"frames {number} to {reached - 1} are missing, too many to make up")
            for missing in range(number, reached):
                conceal.note(f"the stream lacks frame {missing}")
                yield Frame(missing, False, self._beta, None)
            if frame is None:
                return
            yield frame
            number = frame.number + 1

    def key_frames(self) -> Iterator[tuple[int, int]] | None:
        """Number and offset of each key frame by a seekable file's index; None where that is missing or damaged."""
        here = self._window.position
        data = self._read_index()
        self._window.seek(here)
        return None if data is None else self._keys(data)

    # -- record by record --------------------------------------------------------------------------------------------

    def _next(self, number: int, exact: bool) -> Frame | None:
        """What comes next, which is to be frame ``number`` or, unless ``exact``, a later key frame; None at the end."""
        head, data = self._record(number)
        if head.anchor:
            self._check_number(head, number, exact)
            if head.end:
                self._finish(head, number)
                return None
            number, self.key_offset = head.number, self._window.position
        elif self.header.frames is not None and number >= self.header.frames:
            raise self._error("goes on", number)
        self._window.skip(head.size + head.length + 2)
        self._crc = crc32(data, head.crc)
        self._beta = self._beta if head.beta_code is None else head.beta_code
        return Frame(number, head.anchor, self._beta, data)

    def _record(self, number: int) -> tuple[Head, bytes]:
        """Head and data of the record that begins here, checked; it is not skipped."""
        try:
            head = self._window.parse(lambda data: parse_head(data, 0, self._seed, self._crc), LONGEST_HEAD)
        except IndexError:
            raise self._error("ends", number) from None
        if head is None or head.length > (_MAX_DATA if head.end else self._longest):
            raise self._error("is damaged", number)
        record = self._window.peek(head.size + head.length + 2)
        if len(record) < head.size + head.length + 2:
            raise self._error("ends", number)
        data = record[head.size : -2]
        if record[-2:] != low_half(crc32(data, head.crc)):
            raise self._error("is damaged", number, " (checksum)")
        return head, data

    def _check_number(self, head: Head, number: int, exact: bool) -> None:
        announced = self.header.frames
        if announced is not None and (head.number != announced if head.end else head.number >= announced):
            raise self._error("has another number of frames than its header says", number)
        if head.number < number or (exact and head.number > number):
            what = "its end" if head.end else f"frame {head.number}"
            raise self._error("lacks frames or repeats them", number, f" (there comes {what})")

    def _finish(self, head: Head, number: int) -> None:
        """The end may be followed by nothing but its own length."""
        self.count = head.number
        size = head.size + head.length + 2
        self._window.skip(size)
        tail = varint(size)[::-1]
        rest = self._window.peek(len(tail) + 1)
        self._window.skip(len(rest))
        if rest != tail:
            what = "goes on" if rest.startswith(tail) else "ends" if tail.startswith(rest) else "is damaged"
            raise self._error(what, number)

    def _error(self, what: str, number: int, more: str = "") -> BitstreamError:
        if number == self.count:
            return BitstreamError(f"the stream {what} after its last frame{more}; all {number} frames are whole")
        of = "" if self.count is None else f" of {self.count}"
        return BitstreamError(f"the stream {what} at frame {number}{of}{more}; the frames before it are whole")

    # -- finding key frames ------------------------------------------------------------------------------------------

    def _resynchronise(self, number: int) -> bool:
        """Moves to the next place behind this one where frame ``number``, a later key frame, or the end is whole."""
        step = len(self._window.peek(1))
        while step:
            self._window.skip(step)
            chunk = self._window.peek(_STEP + LONGEST_HEAD)
            at = self._anchor(chunk, number)
            self._window.skip(at)
            try:
                head, _ = self._record(number)
                self._check_number(head, number, exact=False)
                return True
            except BitstreamError:
                step = min(1, len(chunk) - at)
        return False

    def _anchor(self, chunk: bytes, number: int) -> int:
        """Where in the first bytes of ``chunk`` an anchor may begin that is frame ``number`` or a later one."""
        for at in range(min(len(chunk), _STEP)):
            if not chunk[at] & 1:
                continue
            try:
                head = parse_head(chunk, at, self._seed, None)
            except IndexError:
                continue
            if head is not None and head.number >= number:
                return at
        return min(len(chunk), _STEP)

    def _to_key(self, start: int) -> int:
        """Moves to the last key frame at or before frame ``start`` and returns its number."""
        keys = self.key_frames() or self._scan()
        best = 0, self._start
        for number, offset in keys:
            if number > start:
                break
            best = number, offset
        if self.count is not None and start >= self.count:
            raise BitstreamError(f"there is no frame {start}, the stream has {self.count}")
        number, offset = best
        self._window.seek(offset)
        self._crc = None
        return number

    def _scan(self) -> Iterator[tuple[int, int]]:
        """Number and offset of each whole key frame, without the index."""
        self._window.seek(self._start)
        for frame in self.frames(conceal=Concealment()):
            if frame.key:
                yield frame.number, self.key_offset

    def _read_index(self) -> bytes | None:
        """The index at the end of a seekable file."""
        if not self._window.seekable:
            return None
        end = self._window.size()
        self._window.seek(max(self._start, end - 5))
        try:
            length, tail = read_varint(self._window.peek(5)[::-1], 0)
            if end - tail - length < self._start:
                return None
            self._window.seek(end - tail - length)
            head, data = self._record(0)
        except (IndexError, ValueError, BitstreamError):
            return None
        whole = head.end and head.size + head.length + 2 == length and self.header.frames in (None, head.number)
        self.count = head.number if whole else self.count
        return data if whole else None

    def _keys(self, index: bytes) -> Iterator[tuple[int, int]]:
        number, offset, at = 0, self._start, 0
        yield number, offset
        try:
            while at < len(index):
                frames, at = read_varint(index, at)
                size, at = read_varint(index, at)
                number, offset = number + frames, offset + size
                yield number, offset
        except (IndexError, ValueError):
            raise BitstreamError("the stream's index is damaged; it can be decoded from its beginning") from None
