"""The .pvc container: what was whole is given out, damage is named."""

import random

import pytest

from pvc.entropy.container import Frame, Header, pack_frame, read_header, unpack_frames, unpack_header
from pvc.errors import BitstreamError

HEADER = Header("mr-md-ssf-tiny", "0123456789abcdef", 416, 240, "30000/1001", 12, 5)


def frames() -> list[Frame]:
    rng = random.Random(0)
    betas = [7, 7, 900, 900, 65535]
    return [Frame(i % 3 == 0, betas[i], rng.randbytes(rng.choice([0, 5, 300]))) for i in range(5)]


def stream() -> bytes:
    sent, out = None, HEADER.pack()
    for frame in frames():
        out += pack_frame(frame, sent)
        sent = frame.beta_code
    return out


def read(data: bytes) -> list[Frame]:
    header, position = unpack_header(data)
    return list(unpack_frames(data, position, header.frames))


def test_what_goes_in_comes_out():
    assert unpack_header(stream())[0] == HEADER
    assert read(stream()) == frames()
    assert read_header(stream())["fps"] == "30000/1001"


def test_overhead_is_a_few_bytes_a_frame():
    payload = sum(len(f.data) for f in frames())
    assert len(stream()) - payload - len(HEADER.pack()) <= 6 * 5
    assert len(HEADER.pack()) < 64


def test_a_truncated_stream_gives_every_whole_frame_and_says_where_it_ends():
    data = stream()
    _, start = unpack_header(data)
    for cut in range(len(data)):
        got = []
        with pytest.raises(BitstreamError, match=r"ends|not a \.pvc") as error:
            header, position = unpack_header(data[:cut])
            for frame in unpack_frames(data[:cut], position, header.frames):
                got.append(frame)
        assert got == frames()[: len(got)]
        if cut >= start:
            assert f"frame {len(got)} of 5" in str(error.value)


def test_damage_is_found_and_never_crashes():
    data, rng = stream(), random.Random(1)
    found = 0
    for _ in range(3000):
        bad = bytearray(data)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        try:
            assert len(read(bytes(bad))) == 5
        except BitstreamError:
            found += 1
    assert found == 3000


def test_other_files_and_versions_are_named():
    with pytest.raises(BitstreamError, match=r"not a \.pvc stream"):
        unpack_header(b"RIFF....")
    newer = bytearray(stream())
    newer[4] = 9
    with pytest.raises(BitstreamError, match="version 9"):
        unpack_header(bytes(newer))
