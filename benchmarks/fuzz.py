"""Mutated .pvc streams through the decoder: each must give frames or a BitstreamError, soon and in bounded memory.

    python benchmarks/fuzz.py [--cases 4000] [--first 0] [--seconds 20] [--memory 1500]
    python benchmarks/fuzz.py --first 1234 --cases 1 --here          (one case again, with its traceback)

Streams of small models with random weights are damaged in every way of `MUTATIONS`: bits, bytes and lengths changed,
parts cut, repeated, exchanged or taken from another stream, and, with valid checksums, headers of any content, frames
in any order, and random or damaged symbols, so that the entropy decoder and the networks get them. Each case is read
in one of the ways of `READINGS`. A process does the work; when it dies, takes longer than --seconds for a case, or
needs --memory MB more than at the start, the case is named and the next process goes on behind it.
"""

import argparse
import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import torch

from pvc.codecs.cpvc import CpvcCodec
from pvc.codecs.neural import NeuralCodec
from pvc.entropy.container import LONGEST_HEADER, PRECISIONS, Frame, Header, parse_header, varint
from pvc.entropy.reader import Concealment, StreamReader
from pvc.entropy.writer import StreamWriter
from pvc.errors import BitstreamError
from pvc.models.checkpoint import save_model
from pvc.models.cpvc import CPVC
from pvc.models.ssf import ScaleSpaceFlow

FRAMES, GOP, HEIGHT, WIDTH = 5, 2, 24, 40
MAX_PIXELS = 1 << 14
OUTCOMES = ("whole", "part", "refused")
MANY = 50  # findings, after which there is no need of more
MODELS = {
    "patch": {
        "latent": 32,
        "motion_latent": 8,
        "hyper": 8,
        "motion_hint": True,
        "temporal_context": True,
        "spatial_prediction": True,
    },
    "conv": {"latent": 8},
}
SIZES = {"channels": 8, "width": 8, "resblocks": 1, "param_blocks": 1, "lstm": 4, "content": 4, "mlp": 8, "unet": [8]}


class Material:
    """Two whole streams of each model, to be damaged, and the codecs that read them."""

    def __init__(self, folder: Path):
        self.codecs: list[NeuralCodec | CpvcCodec] = []
        self.streams: list[list[bytes]] = []
        for name, shape in MODELS.items():
            torch.manual_seed(0)
            model = ScaleSpaceFlow(transform=name, width=8, multirate=True, roi=True, **shape).eval()
            with torch.no_grad():
                for p in model.parameters():  # parts that start as nothing are to do something
                    if p.requires_grad and not p.any():
                        p.normal_(std=0.1)
            save_model(model, folder / f"{name}.safetensors")
            self._add(NeuralCodec(folder / f"{name}.safetensors", gop=GOP), {"beta": 2e-4}, {"beta": 4e-3})
        torch.manual_seed(0)
        save_model(CPVC(**SIZES, qps=[20, 40], base="x264-cpvc").eval(), folder / "cpvc.safetensors")
        self._add(CpvcCodec(folder / "cpvc.safetensors", gop=GOP), {"qp": 20}, {"qp": 40})

    def _add(self, codec: NeuralCodec | CpvcCodec, *points: dict[str, float]) -> None:
        clips = [torch.randint(0, 256, (FRAMES, 3, HEIGHT, WIDTH)).byte() for _ in points]
        self.codecs.append(codec)
        self.streams.append([codec.encode(clip, point) for clip, point in zip(clips, points)])


# -- ways to damage: (rng, a stream, another of the same model) -> bytes -----------------------------------------------


def bits(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """One to eight bits flipped."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwritten(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A run of random, equal or 0xff bytes."""
    at, length = rng.randrange(len(data)), rng.randint(1, 64)
    run = rng.choice([rng.randbytes(length), bytes(length), b"\xff" * length])
    return data[:at] + run + data[at + length :]


def cut(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data))]


def deleted(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A part is missing."""
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randint(1, 200) :]


def inserted(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """There is more than there was."""
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(rng.randint(1, 300)) + data[at:]


def spliced(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """It goes on as another stream."""
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def lengths(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A number somewhere says something else."""
    at = rng.randrange(13, len(data))
    return data[:at] + varint(rng.getrandbits(rng.randint(1, 35))) + data[at + rng.randint(1, 3) :]


def records(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Whole records repeated, exchanged, left out, or put in from another stream."""
    parts, more = _records(data), _records(other)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(1, len(parts))
        what = rng.choice(["repeat", "exchange", "drop", "foreign"])
        if what == "repeat":
            parts.insert(rng.randrange(1, len(parts) + 1), parts[at])
        elif what == "exchange":
            to = rng.randrange(1, len(parts))
            parts[at], parts[to] = parts[to], parts[at]
        elif what == "drop" and len(parts) > 2:
            del parts[at]
        else:
            parts[at] = rng.choice(more[1:])
    return b"".join(parts)


def valid_order(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Frames of both streams in any order, key frames as P-frames and P-frames as key frames; checksums are right."""
    frames = [*_frames(data), *_frames(other)]
    picked = [rng.choice(frames) for _ in range(rng.randint(1, 6))]
    return _write(_header(data), [replace(f, key=rng.random() < 0.5) for f in picked])


def valid_symbols(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Symbols are random, damaged, cut or none, and the rate is any; checksums are right."""

    def damage(symbols: bytes) -> bytes:
        kind = rng.randrange(6)
        if kind == 0 or not symbols:
            return rng.randbytes(rng.choice([0, 1, 4, 5, 30, 400, 5000]))
        if kind == 1:
            return symbols[: rng.randrange(len(symbols))]
        if kind == 2:
            return symbols + rng.randbytes(rng.randint(1, 40))
        if kind == 3:
            return rng.choice([bytes, lambda n: b"\xff" * n])(rng.randint(1, 600))
        return bits(rng, symbols, b"")

    frames = [
        replace(f, data=damage(f.data), beta_code=rng.choice([f.beta_code, rng.randrange(65536)]))
        if rng.random() < 0.5
        else f
        for f in _frames(data)
    ]
    return _write(_header(data), frames)


def valid_header(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """The header says anything, and its checksum and all others are right."""

    def side() -> int:
        return rng.choice([1, 2, 31, 32, 33, 100, 128, rng.randint(1, 300), rng.randint(1, 65535), 65535])

    count = rng.choice([None, 1, FRAMES, FRAMES + 1, rng.getrandbits(32) or 1])
    fps = f"{rng.getrandbits(32) or 1}/{rng.getrandbits(rng.randint(1, 32)) or 1}"
    header = replace(_header(data), width=side(), height=side(), gop=rng.randint(1, 65535), frames=count, fps=fps)
    header = replace(header, precision=rng.choice(PRECISIONS))
    if rng.random() < 0.2:
        header = replace(header, fingerprint=rng.randbytes(8).hex(), model=rng.randbytes(20).decode(errors="replace"))
    return _write(header, _frames(data))


def valid_index(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """The index is any, and its checksum is right."""
    writer = StreamWriter(replace(_header(data), frames=None))
    out = writer.header() + b"".join(writer.frame(f.key, f.beta_code, f.data) for f in _frames(data))
    writer._index = bytearray(b"".join(varint(rng.getrandbits(rng.randint(1, 34))) for _ in range(rng.randint(0, 20))))
    if rng.random() < 0.3:
        writer._count = rng.getrandbits(rng.randint(1, 32))
    return out + writer.end()


def noise(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """No stream at all, or only the beginning of one."""
    start = rng.choice([b"", data[:4], data[:5], data[: rng.randrange(len(data))]])
    return start + rng.randbytes(rng.randint(0, 2000))


MUTATIONS: list[Callable[[random.Random, bytes, bytes], bytes]] = [
    bits, overwritten, cut, deleted, inserted, spliced, lengths, records,
    valid_order, valid_symbols, valid_symbols, valid_header, valid_index, noise,
]  # fmt: skip


def _records(data: bytes) -> list[bytes]:
    """Header and records of a whole stream, apart."""
    writer = StreamWriter(_header(data))
    return [writer.header(), *(writer.frame(f.key, f.beta_code, f.data) for f in _frames(data)), writer.end()]


def _header(data: bytes) -> Header:
    return parse_header(data[:LONGEST_HEADER])[0]


def _frames(data: bytes) -> list[Frame]:
    return list(StreamReader(data).frames())


def _write(header: Header, frames: list[Frame]) -> bytes:
    """A stream whose frames need not fit its header; the first is a key frame, as the writer wants it."""
    writer = StreamWriter(header)
    writer._announced = None
    body = [writer.frame(f.key or not i, f.beta_code, f.data) for i, f in enumerate(frames)]
    return b"".join([writer.header(), *body, writer.end()])


# -- ways to read ------------------------------------------------------------------------------------------------------


class _Pipe(BytesIO):
    def seekable(self) -> bool:
        return False

    def read1(self, count: int = -1) -> bytes:
        return super().read1(min(count, 100))


def _decode(codec: NeuralCodec | CpvcCodec, source: bytes | BytesIO, **how: object) -> Iterator[torch.Tensor]:
    return codec.decode_frames(StreamReader(source, MAX_PIXELS), **how)


READINGS: dict[str, Callable[[NeuralCodec | CpvcCodec, bytes], Iterator]] = {
    "decode": lambda codec, data: _decode(codec, data),
    "decode a pipe": lambda codec, data: _decode(codec, _Pipe(data)),
    "conceal": lambda codec, data: _decode(codec, data, conceal=Concealment()),
    "conceal a pipe": lambda codec, data: _decode(codec, _Pipe(data), conceal=Concealment()),
    "seek": lambda codec, data: _decode(codec, data, start=3),
    "seek and conceal": lambda codec, data: _decode(codec, data, start=2, conceal=Concealment()),
}


def run_case(material: Material, number: int) -> tuple[str, str, str]:
    """Mutation, reading and outcome (``whole``, ``part``, ``refused``) of a case, which its number decides.

    Raises:
        AssertionError: the frames are not pictures of the size in the header. Anything but what decoding may raise.
    """
    rng = random.Random(f"pvc {number}")
    model = rng.randrange(len(material.codecs))
    streams = rng.sample(material.streams[model], 2)
    mutation, reading = rng.choice(MUTATIONS), rng.choice(list(READINGS))
    data = mutation(rng, *streams)
    got, outcome = 0, "whole"
    try:
        for frame in READINGS[reading](material.codecs[model], data):
            header = _header(data)
            assert frame.dtype == torch.uint8 and frame.shape == (3, header.height, header.width), frame.shape
            got += 1
            if got >= 200:  # of a gap that is filled there is no end to see
                break
    except BitstreamError:
        outcome = "part" if got else "refused"
    return mutation.__name__, reading, outcome


# -- the run -----------------------------------------------------------------------------------------------------------


def _work(pipe, first: int, end: int, memory: int) -> None:
    """Cases in a process of their own; says each one's number before it starts, and what became of it after."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        material = Material(Path(folder))
        list(_decode(material.codecs[0], material.streams[0][0]))  # what is compiled or allocated once
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory * 2**20, resource.RLIM_INFINITY))
        for number in range(first, end):
            pipe.send(("start", number, None))
            try:
                pipe.send(("done", number, run_case(material, number)))
            except BaseException as error:
                pipe.send(("failed", number, f"{type(error).__name__}: {error}"))


def fuzz(first: int, end: int, seconds: float, memory: int) -> tuple[Counter, list[str]]:
    """How often each (mutation, reading, outcome) came, and what went wrong."""
    context, outcomes, wrong = get_context("spawn"), Counter(), []
    while first < end and len(wrong) < MANY:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(there, first, end, memory))
        process.start()
        there.close()
        patience = 600.0  # the first answer waits for the imports
        try:
            while first < end and here.poll(patience):
                kind, number, what = here.recv()
                patience = seconds
                if kind == "start":
                    continue
                first = number + 1
                if kind == "done":
                    outcomes[what] += 1
                else:
                    wrong.append(f"case {number}: {what}")
            if first < end:
                wrong.append(f"case {first}: not done in {patience:g} s")
                first += 1
        except EOFError:
            wrong.append(f"case {first}: the process died")
            first += 1
        process.kill()
        process.join()
    return outcomes, wrong


def main() -> None:
    """Prints a table of outcomes; exits with 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=4000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20, help="for one case")
    parser.add_argument("--memory", type=int, default=1500, help="MB of address space above that at the start")
    parser.add_argument("--here", action="store_true", help="in this process, without limits")
    args = parser.parse_args()
    if args.here:
        with tempfile.TemporaryDirectory() as folder:
            material = Material(Path(folder))
            for number in range(args.first, args.first + args.cases):
                print(number, *run_case(material, number))
        return
    start = time.monotonic()
    outcomes, wrong = fuzz(args.first, args.first + args.cases, args.seconds, args.memory)
    for title, place in (("mutation", 0), ("reading", 1)):
        print(f"{title:<18}{'whole':>8}{'part':>8}{'refused':>8}")
        for name in sorted({key[place] for key in outcomes}):
            row = [sum(n for key, n in outcomes.items() if key[place] == name and key[2] == o) for o in OUTCOMES]
            print(f"{name:<18}" + "".join(f"{n:>8}" for n in row))
    print(f"{sum(outcomes.values())} cases in {time.monotonic() - start:.0f} s, {len(wrong)} went wrong")
    print(*wrong, sep="\n")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
