"""Odd frame sizes in 4:2:0 streams: the coded frames are padded to even sizes, so the stream remembers the true one.

The crop of H.264 and H.265 counts in pairs of pixels in 4:2:0, so it cannot say "one column". A stream of an odd-sized
clip starts with one SEI unit (user data, unregistered; 25 or 26 bytes) that does; it is counted as bits, and other
decoders skip it.
"""

_UUID = b"pvc-odd-size-v01"


def size_unit(header: bytes, height: int, width: int) -> bytes:
    """SEI unit that says which side is odd; empty for even sizes. ``header`` is the codec's NAL header of an SEI."""
    odd = (height % 2) | (width % 2) << 1
    if not odd:
        return b""
    payload = _UUID + bytes([odd])
    return b"\x00\x00\x00\x01" + header + bytes([5, len(payload)]) + payload + b"\x80"


def true_size(data: bytes, height: int, width: int) -> tuple[int, int]:
    """Height and width without the padding that the size unit at the head of ``data`` names."""
    at = data.find(_UUID, 0, 64)
    odd = data[at + len(_UUID)] if at >= 0 else 0
    return height - (odd & 1), width - (odd >> 1 & 1)
