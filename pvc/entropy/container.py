"""What a ``.pvc`` stream consists of: header and record heads, version 2 of the format (``docs/format.md``).

Integers are little-endian. A varint holds seven bits a byte, lowest first, the top bit set on all but the last byte.
:mod:`pvc.entropy.writer` puts streams together, :mod:`pvc.entropy.reader` takes them apart.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction
from zlib import crc32

from pvc.errors import BitstreamError, ConfigError

MAGIC = b"\x89PVC"
VERSION = 2
LONGEST_HEADER, LONGEST_HEAD = 600, 16  # bytes, no less than either can take
_MATRICES = ("bt601", "bt709", "bt2020")  # by the lowest two bits of the byte of options
_FULL_RANGE = 4  # its next bit
PRECISIONS = ("float32", "bfloat16")  # by its bit 3
_LAYERED = 16  # its bit 4: the name of a base codec follows
_MAX_SIDE, _MAX_GOP, _MAX_32 = 65535, 65535, 2**32 - 1


@dataclass(frozen=True)
class Header:
    """What a stream says of itself.

    Attributes:
        model: name of the model that wrote it. fingerprint: hash of its weights, 16 hexadecimal digits.
        width, height: in pixels, at most 65535. fps: frames a second, as a fraction.
        gop: frames from one key frame to the next that were asked for.
        frames: how many there are; None where the encoder did not know yet (the end of the stream says it).
        matrix, full_range: of the source, as in :class:`pvc.video.VideoInfo`; decoded frames are RGB.
        precision: in which the transforms computed; another would give the decoder slightly other pictures.
        base: name of the codec whose streams, one for each group of pictures, lie in the key frames' data; "" for none.
            With one, the rate parameter of a frame is the base codec's QP.
    """

    model: str
    fingerprint: str
    width: int
    height: int
    fps: str
    gop: int
    frames: int | None
    matrix: str = "bt709"
    full_range: bool = False
    precision: str = "float32"
    base: str = ""

    def pack(self) -> bytes:
        """The header's bytes, with a 32-bit checksum at the end.

        Raises:
            ConfigError: a value is beyond what the format holds.
        """
        fps = Fraction(self.fps)
        self._check(fps, ConfigError)
        names = [name.encode()[:255] for name in (self.model, self.base)[: 1 + bool(self.base)]]
        numbers = (self.width, self.height, fps.numerator, fps.denominator, self.gop, self.frames or 0)
        options = _MATRICES.index(self.matrix) | _FULL_RANGE * self.full_range | PRECISIONS.index(self.precision) << 3
        options |= _LAYERED * bool(self.base)
        body = MAGIC + bytes([VERSION]) + bytes.fromhex(self.fingerprint) + b"".join(map(varint, numbers))
        body += bytes([options]) + b"".join(bytes([len(name)]) + name for name in names)
        return body + struct.pack("<I", crc32(body))

    def _check(self, fps: Fraction, error: type[Exception]) -> None:
        if not (0 < self.width <= _MAX_SIDE and 0 < self.height <= _MAX_SIDE):
            raise error(f"frames of {self.width}x{self.height}: a .pvc stream holds 1 to {_MAX_SIDE} pixels a side")
        if not 0 < self.gop <= _MAX_GOP:
            raise error(f"gop={self.gop} is out of range; give 1 (all I-frames) to {_MAX_GOP}")
        if not (0 < fps.numerator <= _MAX_32 and fps.denominator <= _MAX_32):
            raise error(f"{self.fps} frames a second: a .pvc stream holds fractions of numbers below 2^32")
        if not 0 <= (self.frames or 0) <= _MAX_32:
            raise error(f"{self.frames} frames: a .pvc stream holds fewer than 2^32")


def parse_header(data: bytes) -> tuple[Header, int]:
    """The header at the beginning of ``data``, and its length in bytes.

    Raises:
        BitstreamError: not a .pvc stream, of another version, or damaged.
        IndexError: ``data`` ends inside it.
    """
    if not MAGIC.startswith(data[:4]):
        raise BitstreamError(
            "this is not a .pvc stream (its first bytes are others); give a file that `pvc encode` wrote"
        )
    if data[4] != VERSION:
        do = "encode the clip again" if data[4] < VERSION else "update pvc"
        raise BitstreamError(f"the stream has format version {data[4]} and this pvc reads version {VERSION}; {do}")
    at, numbers = 13, []
    try:
        for _ in range(6):
            number, at = read_varint(data, at)
            numbers.append(number)
    except ValueError:
        raise BitstreamError("the stream's header is damaged; nothing of it can be decoded") from None
    options, end, names = data[at], at + 1, []
    for _ in range(2 if options & _LAYERED else 1):
        start, end = end + 1, end + 1 + data[end]
        name = data[start:end].decode(errors="replace")
        names.append("".join(c if c.isprintable() else "?" for c in name))  # it is shown in terminals
    if len(data) < end + 4:
        raise IndexError
    if data[end : end + 4] != struct.pack("<I", crc32(data[:end])):
        raise BitstreamError("the stream's header is damaged (checksum); nothing of it can be decoded")
    width, height, numerator, denominator, gop, frames = numbers
    if not denominator or options & 3 == 3 or options > 31 or (len(names) == 2 and not names[1]):
        raise BitstreamError("the stream's header has a frame rate or options that there are not; was it made by pvc?")
    fps = Fraction(numerator, denominator)
    header = Header(
        model=names[0],
        fingerprint=data[5:13].hex(),
        width=width,
        height=height,
        fps=str(fps),
        gop=gop,
        frames=frames or None,
        matrix=_MATRICES[options & 3],
        full_range=bool(options & _FULL_RANGE),
        precision=PRECISIONS[options >> 3 & 1],
        base="".join(names[1:]),
    )
    header._check(fps, BitstreamError)
    return header, end + 4


def checksum_of(header: bytes) -> int:
    """The checksum in a packed header, from which those of the records go on: no two streams share their frames."""
    return int.from_bytes(header[-4:], "little")


@dataclass(frozen=True)
class Frame:
    """One coded frame: its ``number`` from 0, ``key`` marks an I-frame, ``beta_code`` is the 16-bit rate parameter.

    ``data`` are its coded symbols, None for a frame that was missing or damaged where the reader was to go on.
    """

    number: int
    key: bool
    beta_code: int
    data: bytes | None


@dataclass(frozen=True)
class Head:
    """What a record says before its data.

    Attributes:
        anchor: it says its number and can be checked without what is before it: a key frame, or the end.
        beta_code: the rate parameter where it is sent; the end is the anchor without one.
        length: bytes of data. number: of an anchor; the end's is the number of frames.
        size: bytes of the head. crc: running checksum up to here.
    """

    anchor: bool
    beta_code: int | None
    length: int
    number: int | None
    size: int
    crc: int

    @property
    def end(self) -> bool:
        """Whether this is the last record, with the index as its data."""
        return self.anchor and self.beta_code is None


def parse_head(data: bytes, at: int, seed: int, crc: int | None) -> Head | None:
    """The head of the record at ``at``; None if it is damaged (which only an anchor shows by itself).

    Args:
        seed: checksum of the header, from which an anchor's runs. crc: the group of pictures' so far, None outside one.

    Raises:
        IndexError: ``data`` ends inside it.
    """
    start = at
    try:
        word, at = read_varint(data, at)
        anchor, sends, number = bool(word & 1), bool(word & 2), None
        if anchor:
            number, at = read_varint(data, at)
    except ValueError:
        return None
    beta = None
    if sends:
        beta, at = data[at] | data[at + 1] << 8, at + 2
    if not anchor and crc is None:
        return None
    crc = crc32(data[start:at], seed if anchor else crc)
    if anchor:
        if data[at] | data[at + 1] << 8 != crc & 0xFFFF:
            return None
        at += 2
    return Head(anchor, beta, word >> 2, number, at - start, crc)


def low_half(crc: int) -> bytes:
    """The 16 bits of a running checksum that are written."""
    return struct.pack("<H", crc & 0xFFFF)


def varint(value: int) -> bytes:
    """``value`` >= 0 in seven bits a byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at ``at`` and where it ends.

    Raises:
        IndexError: ``data`` ends inside it. ValueError: it is longer than five bytes.
    """
    value = 0
    for shift in range(0, 35, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than five bytes")
