"""The .pvc container: what was whole is given out, damage is named, and reading can go on behind it."""

import io
import os
import random
import threading
from dataclasses import replace

import pytest

from pvc.entropy.container import Frame, Header
from pvc.entropy.reader import Concealment, StreamReader
from pvc.entropy.writer import StreamWriter
from pvc.errors import BitstreamError, ConfigError

HEADER = Header("mr-md-ssf-tiny", "0123456789abcdef", 416, 240, "30000/1001", 3, 11, "bt601", True)
GOP = 3


def frames(count: int = 11) -> list[Frame]:
    rng = random.Random(0)
    betas = [7, 7, 900, 900, 65535]
    return [Frame(i, i % GOP == 0, betas[i % 5], rng.randbytes(rng.choice([0, 5, 300]))) for i in range(count)]


def stream(header: Header = HEADER, coded: list[Frame] | None = None) -> bytes:
    writer = StreamWriter(header)
    records = [writer.frame(f.key, f.beta_code, f.data) for f in (frames() if coded is None else coded)]
    return b"".join([writer.header(), *records, writer.end()])


def records(data: bytes) -> list[int]:
    """Where each record of ``stream()`` begins, and where the last one, the end, begins."""
    writer = StreamWriter(HEADER)
    at = [len(writer.header())]
    for f in frames():
        at.append(at[-1] + len(writer.frame(f.key, f.beta_code, f.data)))
    assert data[at[-1] :] == writer.end()
    return at


def read(data: bytes) -> list[Frame]:
    return list(StreamReader(data).frames())


class Pipe(io.RawIOBase):
    """Bytes that come in small pieces and cannot be sought in."""

    def __init__(self, data: bytes):
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, count: int = -1) -> bytes:
        return self._data.read(min(7, count))


@pytest.mark.parametrize("count", [11, None])
def test_what_goes_in_comes_out(count):
    header = replace(HEADER, frames=count)
    for source in (stream(header), io.BytesIO(stream(header)), Pipe(stream(header))):
        reader = StreamReader(source)
        assert (reader.header, reader.count) == (header, count)
        assert list(reader.frames()) == frames()
        assert reader.count == 11


def test_extreme_headers_come_back():
    for header in (
        Header("", "00" * 8, 1, 1, "1/4294967295", 1, 4294967295, "bt2020"),
        Header("ñ" * 127, "ff" * 8, 65535, 65535, "4294967295", 65535, None, "bt709", True),
    ):
        data = StreamWriter(header).header()
        assert StreamReader(data + bytes(9), max_pixels=2**32).header == header


@pytest.mark.parametrize(
    "change", [{"width": 65536}, {"height": 0}, {"gop": 0}, {"gop": 65536}, {"fps": "0"}, {"fps": "1/4294967296"}]
)
def test_what_the_format_cannot_hold_is_refused(change):
    with pytest.raises(ConfigError):
        StreamWriter(replace(HEADER, **change))


def test_overhead_is_a_few_bytes_a_frame():
    """Less than 50 bytes around the frames, 4 for a P-frame below a kilobyte, 7 more for a key frame or a new beta."""
    few = [Frame(i, i == 0, 7, bytes(100)) for i in range(100)]
    assert len(stream(replace(HEADER, frames=100), few)) - 100 * 100 <= 50 + 100 * 4 + 7
    keys = [replace(f, key=True) for f in few]
    assert len(stream(replace(HEADER, frames=100), keys)) - 100 * 100 <= 50 + 100 * (4 + 7 + 2)


def test_a_truncated_stream_gives_every_whole_frame_and_says_where_it_ends():
    data = stream()
    start = records(data)[0]
    for cut in range(len(data)):
        got = []
        with pytest.raises(BitstreamError, match=r"ends|nothing in it") as error:
            for frame in StreamReader(data[:cut]).frames():
                got.append(frame)
        assert got == frames()[: len(got)]
        assert len(got) == max(sum(cut >= at for at in records(data)) - 1, 0)
        if cut >= start and len(got) < 11:
            assert f"frame {len(got)} of 11" in str(error.value)
        elif cut >= start:
            assert "all 11 frames are whole" in str(error.value)


def test_each_flipped_bit_is_found_and_the_frames_before_it_are_whole():
    data = stream()
    at = records(data)
    for place in range(len(data)):
        for bit in range(8):
            bad = bytearray(data)
            bad[place] ^= 1 << bit
            got = []
            with pytest.raises(BitstreamError):
                for frame in StreamReader(bytes(bad)).frames():
                    got.append(frame)
            assert got == frames()[: len(got)]
            assert len(got) == max(sum(place >= a for a in at) - 1, 0)


@pytest.mark.parametrize("unit", ["frame", "gop"])
@pytest.mark.parametrize("what", ["swap", "repeat", "drop"])
def test_frames_out_of_order_are_found(unit, what):
    """Whole records are moved, so every one of them is intact in itself."""
    data = stream()
    at = records(data)
    step = 1 if unit == "frame" else GOP
    parts = [data[at[i] : at[i + step]] for i in range(0, 9, step)]
    order = list(range(len(parts)))
    i = 1
    order = {
        "swap": [*order[:i], i + 1, i, *order[i + 2 :]],
        "repeat": [*order[: i + 1], i, *order[i + 1 :]],
        "drop": [*order[:i], *order[i + 1 :]],
    }[what]
    moved = data[: at[0]] + b"".join(parts[k] for k in order) + data[at[9] :]
    got = []
    with pytest.raises(BitstreamError):
        for frame in StreamReader(moved).frames():
            got.append(frame)
    assert got == frames()[: step * (i + (what == "repeat"))]


def test_frames_of_another_stream_are_found():
    other = stream(replace(HEADER, fingerprint="f" * 16))
    at = records(stream())
    spliced = stream()[: at[3]] + other[at[3] : at[6]] + stream()[at[6] :]
    got = []
    with pytest.raises(BitstreamError, match="frame 3 of 11"):
        for frame in StreamReader(spliced).frames():
            got.append(frame)
    assert got == frames()[:3]


def test_what_follows_the_end_is_an_error_after_all_frames():
    got = []
    with pytest.raises(BitstreamError, match="goes on after its last frame; all 11 frames are whole"):
        for frame in StreamReader(stream() + b"\0").frames():
            got.append(frame)
    assert got == frames()


def test_a_frame_too_many_or_too_few_is_an_error():
    for announced in (10, 12):
        data = bytearray(stream())
        header = StreamWriter(replace(HEADER, frames=announced)).header()
        assert len(header) == len(StreamWriter(HEADER).header())
        writer = StreamWriter(replace(HEADER, frames=announced))
        body = b"".join(writer.frame(f.key, f.beta_code, f.data) for f in frames())
        with pytest.raises(ValueError, match="were written"):
            writer.end()
        writer._announced = None
        data = header + body + writer.end()
        got = []
        with pytest.raises(BitstreamError):
            for frame in StreamReader(data).frames():
                got.append(frame)
        assert got == frames()[: min(announced, 11)]


@pytest.mark.parametrize("pipe", [False, True])
def test_concealing_goes_on_at_the_next_key_frame(pipe):
    """One byte anywhere: only frames of its group of pictures are lost, each is there by number, and all is said."""
    data = stream()
    at = records(data)
    rng = random.Random(2)
    for place in range(at[0], len(data), 3):
        bad = bytearray(data)
        bad[place] ^= rng.randrange(1, 256)
        note = Concealment()
        got = list(StreamReader(Pipe(bytes(bad)) if pipe else bytes(bad)).frames(conceal=note))
        hit = sum(place >= a for a in at) - 1
        lost = range(hit, min(hit - hit % GOP + GOP, 11)) if hit < 11 else range(0)
        assert [f.number for f in got] == list(range(11))
        assert [f.number for f in got if f.data is None] == list(lost)
        assert [f for f in got if f.data is not None] == [f for f in frames() if f.number not in lost]
        assert note.reason


def test_concealing_finds_its_way_after_bytes_were_lost_or_put_in():
    data = stream()
    at = records(data)
    for bad in (
        data[: at[4] + 1] + data[at[5] + 2 :],
        data[: at[4]] + random.Random(3).randbytes(5000) + data[at[4] :],
        data[: at[3]] + data[at[6] :],
    ):
        got = list(StreamReader(bad).frames(conceal=Concealment()))
        assert [f.number for f in got] == list(range(11))
        assert {f.number for f in got if f.data is None} <= {3, 4, 5}


def test_concealing_cannot_be_made_to_fill_a_disk():
    writer = StreamWriter(replace(HEADER, frames=None))
    data = writer.header() + writer.frame(True, 7, b"abc")
    writer._count = 2**31
    with pytest.raises(BitstreamError, match="too many to make up"):
        list(StreamReader(data + writer.frame(True, 7, b"abc")).frames(conceal=Concealment()))


@pytest.mark.parametrize("index", ["whole", "damaged", "missing"])
@pytest.mark.parametrize("count", [11, None])
def test_seeking_starts_at_the_last_key_frame_before(index, count):
    data = stream(replace(HEADER, frames=count))
    data = {"whole": data, "damaged": data[:-1] + b"\xff", "missing": data[:-12]}[index]
    have = 11 if index != "missing" else 10
    for start in range(1, have):
        reader = StreamReader(io.BytesIO(data))
        assert (reader.key_frames() is None) == (index != "whole")
        taken = []
        for frame in reader.frames(start):
            taken.append(frame)
            if frame.number == have - 1:
                break
        assert taken == frames()[start - start % GOP : have]
    with pytest.raises(BitstreamError):
        list(StreamReader(data).frames(11))


def test_the_index_lists_the_key_frames():
    data = stream()
    at = records(data)
    reader = StreamReader(io.BytesIO(data))
    coded = reader.frames()
    before = next(coded)
    assert list(reader.key_frames()) == [(n, at[n]) for n in range(0, 11, GOP)]
    assert [before, *coded] == frames()  # looking at the index disturbs nothing


def test_a_pipe_gives_a_frame_as_soon_as_it_is_there():
    """Frames of a live stream are not held back until more of it comes."""
    got, end = os.pipe()
    out = os.fdopen(end, "wb", buffering=0)
    data = stream()
    at = records(data)
    seen: list[int] = []
    half, done = threading.Event(), threading.Event()

    def consume() -> None:
        with os.fdopen(got, "rb") as file:
            for frame in StreamReader(file).frames():
                seen.append(frame.number)
                if frame.number == 5:
                    half.set()
        done.set()

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    out.write(data[: at[7]])
    assert half.wait(20) and not done.is_set()
    out.write(data[at[7] :])
    out.close()
    assert done.wait(20) and seen == list(range(11))


def test_a_length_beyond_reason_is_damage_before_anything_is_read():
    class Endless(Pipe):
        given = 0

        def read(self, count: int = -1) -> bytes:
            part = super().read(count) or bytes(count)
            self.given += len(part)
            return part

    writer = StreamWriter(replace(HEADER, width=16, height=16))
    file = Endless(writer.header() + b"\xff\xff\xff\xff\x0f")
    with pytest.raises(BitstreamError, match="damaged at frame 0"):
        list(StreamReader(file).frames())
    assert file.given < 1 << 18


def test_frames_larger_than_the_limit_are_refused():
    data = stream(replace(HEADER, width=60000, height=60000))
    with pytest.raises(BitstreamError, match=r"60000x60000.*max-pixels"):
        StreamReader(data)
    assert list(StreamReader(data, max_pixels=60000**2).frames()) == frames()


def test_other_files_and_versions_are_named():
    with pytest.raises(BitstreamError, match=r"not a \.pvc stream"):
        StreamReader(b"RIFF....")
    with pytest.raises(BitstreamError, match="nothing in it"):
        StreamReader(b"")
    for version, do in ((1, "encode the clip again"), (9, "update pvc")):
        other = bytearray(stream())
        other[4] = version
        with pytest.raises(BitstreamError, match=f"version {version} .*{do}"):
            StreamReader(bytes(other))


def test_a_base_codec_is_named_in_the_header_and_only_there():
    layered = replace(HEADER, base="vvenc-cpvc")
    assert StreamReader(stream(layered)).header == layered
    assert len(layered.pack()) == len(HEADER.pack()) + 1 + len("vvenc-cpvc")
    longest = replace(layered, model="m" * 300, base="b" * 300)
    assert StreamReader(stream(longest)).header == replace(layered, model="m" * 255, base="b" * 255)
    for end in range(len(layered.pack())):
        with pytest.raises(BitstreamError, match=r"ends inside its header|nothing in it"):
            StreamReader(layered.pack()[:end])
