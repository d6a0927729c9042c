"""Writing ``.pvc`` streams in one pass (``docs/format.md``)."""

import struct
from zlib import crc32

from pvc.entropy.container import Header, checksum_of, low_half, varint


class StreamWriter:
    """The bytes of a stream: :meth:`header`, each :meth:`frame`, then :meth:`end`.

    Keeps the index of key frames, some three bytes for each, and nothing else.

    Args:
        header: what stands at the beginning; its number of frames may be None.

    Raises:
        ConfigError: the header holds a value beyond what the format takes.
    """

    def __init__(self, header: Header):
        self._header = header.pack()
        self._announced = header.frames
        self._seed = self._crc = checksum_of(self._header)
        self._beta: int | None = None
        self._count = 0
        self._index = bytearray()
        self._position = len(self._header)
        self._last_key = 0, self._position

    def header(self) -> bytes:
        """The first bytes of the stream."""
        return self._header

    def frame(self, key: bool, beta_code: int, data: bytes) -> bytes:
        """The record of the next frame.

        Args:
            key: it is an I-frame, as the first one must be. beta_code: its rate parameter, 16 bits; sent where it
                changes and with each key frame, so that decoding can start there. data: its coded symbols.
        """
        if not (key or self._count):
            raise ValueError("the first frame of a stream must be a key frame")
        if key and self._count:
            number, position = self._last_key
            self._index += varint(self._count - number) + varint(self._position - position)
        if key:
            self._last_key = self._count, self._position
        sends = key or beta_code != self._beta
        record = self._record(key, struct.pack("<H", beta_code) if sends else b"", data)
        self._beta = beta_code
        self._count += 1
        self._position += len(record)
        return record

    def end(self) -> bytes:
        """The last record: number of frames, index of key frames, and behind it its length for who reads backwards."""
        if self._announced not in (None, self._count):
            raise ValueError(f"the header says {self._announced} frames, {self._count} were written")
        record = self._record(True, b"", bytes(self._index))
        return record + varint(len(record))[::-1]

    def _record(self, anchor: bool, beta: bytes, data: bytes) -> bytes:
        head = varint(len(data) << 2 | bool(beta) << 1 | anchor) + (varint(self._count) if anchor else b"") + beta
        self._crc = crc32(head, self._seed if anchor else self._crc)
        check = low_half(self._crc) if anchor else b""
        self._crc = crc32(data, self._crc)
        return head + check + data + low_half(self._crc)
