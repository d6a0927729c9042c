"""The ``.pvc`` container: a header, then one record for each frame (``docs/format.md``).

Integers are little-endian. A varint holds seven bits a byte, lowest first, the top bit set on all but the last byte.
"""

import binascii
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction

from pvc.errors import BitstreamError

MAGIC = b"\x89PVC"
VERSION = 1
# version, fingerprint, width, height, frame rate (numerator, denominator), GOP, frames, length of the model's name
_HEADER = struct.Struct("<B8sHHIIHIB")
_MAX_FRAME = 1 << 28


@dataclass(frozen=True)
class Header:
    """What a stream says of itself. ``fingerprint``: 16 hexadecimal digits of the model that wrote it."""

    model: str
    fingerprint: str
    width: int
    height: int
    fps: str
    gop: int
    frames: int

    def pack(self) -> bytes:
        """The header's bytes, with a 16-bit checksum at the end."""
        fps = Fraction(self.fps)
        name = self.model.encode()[:255]
        fixed = (VERSION, bytes.fromhex(self.fingerprint), self.width, self.height, fps.numerator, fps.denominator)
        body = _HEADER.pack(*fixed, self.gop, self.frames, len(name)) + name
        return MAGIC + body + struct.pack("<H", binascii.crc_hqx(MAGIC + body, 0))


@dataclass(frozen=True)
class Frame:
    """One coded frame: ``beta_code`` is the 16-bit rate parameter in force, ``key`` marks an I-frame."""

    key: bool
    beta_code: int
    data: bytes


def unpack_header(data: bytes) -> tuple[Header, int]:
    """Header and the position of the first frame.

    Raises:
        BitstreamError: not a .pvc stream, of a newer version, cut short, or damaged.
    """
    if data[:4] != MAGIC:
        raise BitstreamError(
            "this is not a .pvc stream (its first bytes are others); give a file that `pvc encode` wrote"
        )
    if len(data) < 4 + _HEADER.size:
        raise BitstreamError("the stream ends inside its header; nothing of it can be decoded")
    version, fingerprint, width, height, num, den, gop, frames, length = _HEADER.unpack_from(data, 4)
    if version != VERSION:
        raise BitstreamError(
            f"the stream has format version {version} and this pvc reads version {VERSION}; update pvc"
        )
    end = 4 + _HEADER.size + length
    if len(data) < end + 2:
        raise BitstreamError("the stream ends inside its header; nothing of it can be decoded")
    if struct.unpack_from("<H", data, end)[0] != binascii.crc_hqx(data[:end], 0):
        raise BitstreamError("the stream's header is damaged (checksum); nothing of it can be decoded")
    if not (width and height and num and den and gop):
        raise BitstreamError("the stream's header holds a size, rate or GOP of zero; nothing of it can be decoded")
    name = data[end - length : end].decode(errors="replace")
    fps = str(Fraction(num, den))
    return Header(name, fingerprint.hex(), width, height, fps, gop, frames), end + 2


def read_header(data: bytes) -> dict:
    """The header as a dictionary, for ``pvc info``."""
    return asdict(unpack_header(data)[0])


def pack_frame(frame: Frame, previous_beta: int | None) -> bytes:
    """One record: varint(4 length + 2 beta-follows + key), [beta, 16 bits], checksum (16 bits), stream.

    Beta is only sent where it changes (``previous_beta``); a key frame always has it, so that decoding can start there.
    """
    sends = frame.key or frame.beta_code != previous_beta
    rate = struct.pack("<H", frame.beta_code) if sends else b""
    check = binascii.crc_hqx(frame.data, binascii.crc_hqx(rate, int(frame.key)))
    return _varint(len(frame.data) << 2 | sends << 1 | frame.key) + rate + struct.pack("<H", check) + frame.data


def unpack_frames(data: bytes, position: int, count: int) -> Iterator[Frame]:
    """The ``count`` frames that start at ``position``.

    Raises:
        BitstreamError: at the first frame that is missing or damaged; those before it have been given out.
    """
    beta = None
    for i in range(count):
        where = f"at frame {i} of {count}"
        head, position = _read_varint(data, position, where)
        key, sends, length = bool(head & 1), bool(head & 2), head >> 2
        if length > _MAX_FRAME:
            raise BitstreamError(f"the stream is damaged {where}; the frames before it are whole")
        needed = 2 * sends + 2 + length
        if position + needed > len(data):
            raise BitstreamError(f"the stream ends {where}; the frames before it are whole")
        rate = data[position : position + 2 * sends]
        position += len(rate)
        (check,) = struct.unpack_from("<H", data, position)
        payload = data[position + 2 : position + 2 + length]
        position += 2 + length
        if check != binascii.crc_hqx(payload, binascii.crc_hqx(rate, int(key))):
            raise BitstreamError(f"the stream is damaged {where} (checksum); the frames before it are whole")
        if sends:
            (beta,) = struct.unpack("<H", rate)
        if beta is None or (i == 0 and not key):
            raise BitstreamError(f"the stream does not begin with a key frame ({where})")
        yield Frame(key, beta, payload)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _read_varint(data: bytes, position: int, where: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if position >= len(data):
            raise BitstreamError(f"the stream ends {where}; the frames before it are whole")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise BitstreamError(f"the stream is damaged {where}; the frames before it are whole")
