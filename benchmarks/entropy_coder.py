"""Entropy coders on the symbols of real frames, and on random symbols drawn from the tables, in one run.

A released checkpoint codes a clip, and its symbols with their tables are kept and given to each coder: CompressAI's
rANS (Python lists), constriction's ANS by table (symbols sorted by their table, one call for each) and with Laplace
densities computed for each symbol, and pvc's. All take arrays and give arrays; what they need for that is in the time.
Then the share of the coder in the time of whole frames, and what it takes to start.

    python benchmarks/entropy_coder.py [CLIP] [--mask CLIP.mask.mkv] [--height 480] [--frames 4] [--threads 2]

CPU time of this process, best of several rounds in which the coders take turns. Without CLIP: a scene made by pvc.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import constriction
import numpy as np
import torch
from compressai.ans import BufferedRansEncoder, RansDecoder
from compressai.entropy_models import EntropyModel
from torch import Tensor

from pvc.data.synthetic import Synthetic
from pvc.entropy import coder
from pvc.entropy.conditional import SCALE_TABLE
from pvc.entropy.tables import Tables, tables_of
from pvc.importance import weighted_mask
from pvc.models import coding
from pvc.models.checkpoint import load_model
from pvc.paths import find_checkpoints
from pvc.video import read_clip, read_map

Categorical, QuantizedLaplace = constriction.stream.model.Categorical, constriction.stream.model.QuantizedLaplace
AnsCoder = constriction.stream.stack.AnsCoder
MODEL = "mr-md-ssf-tiny"
CASES = [(1e-4, 1.0), (1e-3, 1.0), (1.28e-2, 0.2)]  # beta, u_alpha


@dataclass
class Part:
    """Symbols and rows of their tables, int16 [n], coded with ``model``; ``skipped`` [n]: not coded by pvc."""

    symbols: Tensor
    rows: Tensor
    skipped: Tensor
    model: EntropyModel

    def __post_init__(self):
        cumulative, lengths, offsets = (
            x.numpy().astype(np.int64) for x in (self.model._quantized_cdf, self.model._cdf_length, self.model._offset)
        )
        self.tables: Tables = tables_of(self.model)
        self.lists = cumulative.tolist(), lengths.tolist(), offsets.tolist()
        rows, symbols = self.rows.numpy(), self.symbols.numpy()
        self.laplace = self.model.quantized_cdf.shape[0] == len(SCALE_TABLE)
        # constriction has no escapes: a symbol beyond its table becomes the nearest of its entries
        entries = symbols - offsets[rows]
        self.entries = np.clip(entries, 0, lengths[rows] - 2).astype(np.int32)
        frequencies = [np.diff(c[:n]) / 2**16 for c, n in zip(cumulative, lengths)]
        self.categorical = [Categorical(f.astype(np.float32), perfect=False) for f in frequencies]
        self.bits = -sum(np.log2(f[self.entries[rows == i]]).sum() for i, f in enumerate(frequencies))


def capture(frames: Tensor, q: Tensor | None, beta: float) -> list[list[Part]]:
    """The symbols of ``frames`` uint8 [T, 3, H, W], for each frame, as the released model codes them."""
    model = load_model(find_checkpoints(MODEL)[0])
    models = {tables_of(m): m for m in model.modules() if isinstance(m, EntropyModel)}
    kept: list[list[Part]] = []

    class Recorder(coder.Writer):
        def put(self, symbols: Tensor, indexes: Tensor, tables: Tables) -> None:
            if tables in models:  # all but the flag
                rows = indexes.flatten().short()
                kept[-1].append(Part(symbols.flatten().short(), rows.clamp(min=0), rows < 0, models[tables]))
            super().put(symbols, indexes, tables)

    coding.Writer, past, previous = Recorder, None, None
    for i, frame in enumerate(frames):
        kept.append([])
        x = model.pad(frame[None].float() / 255)
        _, past = model.encode_frame(
            x, beta, None if q is None else model.pad(q[i : i + 1]), past, model.hint(x, previous)
        )
        previous = x
    coding.Writer = coder.Writer
    return kept


def draw(like: list[Part]) -> list[Part]:
    """Random symbols in place of the real ones, with the probabilities of their tables."""
    rng, out = np.random.default_rng(0), []
    for part in like:
        symbols = np.empty(len(part.rows), np.int16)
        for row in np.unique(part.rows):
            here = np.flatnonzero(part.rows.numpy() == row)
            cumulative = part.lists[0][row][: part.lists[1][row]]
            entries = np.searchsorted(cumulative, rng.integers(0, 1 << 16, len(here)), side="right") - 1
            symbols[here] = np.minimum(entries, len(cumulative) - 3) + part.lists[2][row]
        out.append(Part(torch.from_numpy(symbols), part.rows, torch.zeros_like(part.skipped), part.model))
    return out


# -- coders: parts -> (bytes, a function that decodes them again) ------------------------------------------------------


def by_compressai(parts: list[Part]) -> tuple[int, Callable]:
    encoder = BufferedRansEncoder()
    for p in parts:
        encoder.encode_with_indexes(p.symbols.tolist(), p.rows.tolist(), *p.lists)
    data = encoder.flush()

    def decode() -> list[np.ndarray]:
        decoder = RansDecoder()
        decoder.set_stream(data)
        return [np.array(decoder.decode_stream(p.rows.tolist(), *p.lists), np.int16) for p in parts]

    return len(data), decode


def _constriction(parts: list[Part], densities: bool) -> tuple[int, Callable]:
    wide = QuantizedLaplace(-(2**15), 2**15 - 1)
    scales = np.array(SCALE_TABLE) / 2**0.5
    ans = AnsCoder()

    def grouped(p: Part) -> tuple[np.ndarray, np.ndarray]:
        rows = p.rows.numpy()
        return np.argsort(rows, kind="stable"), np.cumsum(np.bincount(rows, minlength=len(p.categorical)))

    for p in reversed(parts):
        if densities and p.laplace:
            scale = scales[p.rows.numpy()]
            ans.encode_reverse(p.symbols.numpy().astype(np.int32), wide, np.zeros_like(scale), scale)
            continue
        order, ends = grouped(p)
        ordered = p.entries[order]
        for i in range(len(ends) - 1, -1, -1):
            ans.encode_reverse(ordered[ends[i - 1] if i else 0 : ends[i]], p.categorical[i])
    words = ans.get_compressed()

    def decode() -> list[np.ndarray]:
        ans, out = AnsCoder(words), []
        for p in parts:
            if densities and p.laplace:
                scale = scales[p.rows.numpy()]
                out.append(ans.decode(wide, np.zeros_like(scale), scale).astype(np.int16))
                continue
            order, ends = grouped(p)
            sizes = np.diff(ends, prepend=0)
            ordered = np.concatenate([ans.decode(p.categorical[i], int(n)) for i, n in enumerate(sizes)])
            symbols = np.empty(len(order), np.int16)
            symbols[order] = ordered + np.array(p.lists[2])[p.rows.numpy()[order]]
            out.append(symbols)
        return out

    return 4 * len(words), decode


def by_constriction(parts: list[Part]) -> tuple[int, Callable]:
    return _constriction(parts, densities=False)


def by_constriction_densities(parts: list[Part]) -> tuple[int, Callable]:
    return _constriction(parts, densities=True)


def _pvc(parts: list[Part], skip: bool) -> tuple[int, Callable]:
    rows = [p.rows.masked_fill(p.skipped, -1) if skip else p.rows for p in parts]
    writer = coder.Writer()
    for p, r in zip(parts, rows):
        writer.put(p.symbols, r, p.tables)
    data = writer.finish()

    def decode() -> list[np.ndarray]:
        reader = coder.Reader(data)
        out = [reader.get(r, p.tables).numpy() for p, r in zip(parts, rows)]
        reader.finish()
        return out

    return len(data), decode


def by_pvc(parts: list[Part]) -> tuple[int, Callable]:
    return _pvc(parts, skip=False)


def by_pvc_skipping(parts: list[Part]) -> tuple[int, Callable]:
    return _pvc(parts, skip=True)


CODERS = {
    "compressai rANS, lists": by_compressai,
    "constriction, by table": by_constriction,
    "constriction, densities": by_constriction_densities,
    "pvc": by_pvc,
    "pvc, certain zeros skipped": by_pvc_skipping,
}


def measure(frames: list[list[Part]], rounds: int) -> None:
    """Print a line for each coder: speed both ways and bytes, over ``frames``."""
    count = sum(len(p.symbols) for f in frames for p in f)
    estimate = sum(p.bits for f in frames for p in f) / 8
    torch.set_num_threads(1)
    best = {name: [float("inf"), float("inf")] for name in CODERS}
    size = dict.fromkeys(CODERS, 0)
    for _ in range(rounds):
        for name, code in CODERS.items():
            start = time.process_time()
            coded = [code(parts) for parts in frames]
            middle = time.process_time()
            decoded = [decode() for _, decode in coded]
            end = time.process_time()
            best[name] = [min(a, b) for a, b in zip(best[name], (middle - start, end - middle))]
            size[name] = sum(n for n, _ in coded)
            if "constriction" not in name:
                pairs = ((a, p.symbols.numpy()) for f, d in zip(frames, decoded) for a, p in zip(d, f))
                assert all(np.array_equal(a, b) for a, b in pairs), name
    nonzero = sum(int(p.symbols.count_nonzero()) for f in frames for p in f)
    skipped = sum(int(p.skipped.sum()) for f in frames for p in f)
    print(
        f"  {count // len(frames):,} symbols a frame, {100 * nonzero / count:.1f} % of them not zero, "
        f"{100 * skipped / count:.0f} % skipped; tables' estimate {estimate / len(frames):.0f} bytes a frame"
    )
    for name, (write, read) in best.items():
        bytes_ = f"{size[name] / len(frames):>10.0f}{100 * (size[name] / estimate - 1):+11.2f} %"
        print(f"  {name:28}{count / write / 1e6:>8.1f}{count / read / 1e6:>8.1f}{bytes_}")


def share(frames: Tensor, q: Tensor | None, beta: float, threads: int) -> None:
    """Print how much of the time of ``encode_frame`` and ``decode_frame`` passes in the coder (wall clock)."""
    torch.set_num_threads(threads)
    model = load_model(find_checkpoints(MODEL)[0])
    spent = 0.0

    def timed(function: Callable) -> Callable:
        def call(*args):
            nonlocal spent
            start = time.perf_counter()
            result = function(*args)
            spent += time.perf_counter() - start
            return result

        return call

    class Writer(coder.Writer):
        put, finish = timed(coder.Writer.put), timed(coder.Writer.finish)

    class Reader(coder.Reader):
        get, finish = timed(coder.Reader.get), timed(coder.Reader.finish)

    coding.Writer, coding.Reader = Writer, Reader
    best = {"encode": (float("inf"), 0.0), "decode": (float("inf"), 0.0)}
    for _ in range(3):
        past = previous = there = None
        for i, frame in enumerate(frames):
            x = model.pad(frame[None].float() / 255)
            spent, start = 0.0, time.perf_counter()
            data, past = model.encode_frame(
                x, beta, None if q is None else model.pad(q[i : i + 1]), past, model.hint(x, previous)
            )
            encode = time.perf_counter() - start, spent
            spent, start = 0.0, time.perf_counter()
            there = model.decode_frame(data, beta, tuple(x.shape[-2:]), there)
            decode = time.perf_counter() - start, spent
            previous = x
            if i:  # P-frames
                best = {"encode": min(best["encode"], encode), "decode": min(best["decode"], decode)}
    coding.Writer, coding.Reader = coder.Writer, coder.Reader
    parts = (f"{way} {1e3 * t:.0f} ms, coder {1e3 * c:.1f} ms ({100 * c / t:.1f} %)" for way, (t, c) in best.items())
    print(f"P-frame {x.shape[-1]}x{x.shape[-2]}, {torch.get_num_threads()} threads: {'; '.join(parts)}")


def start_up() -> None:
    """Print what loading the compiled loops takes, the first time and after."""
    code = "import time, numba; t = time.process_time(); import pvc.entropy.rans; print(time.process_time() - t)"
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        command = [sys.executable, "-W", "ignore", "-c", code]
        first, later = (float(subprocess.check_output(command, env=environment)) for _ in range(2))
    print(f"start: {first:.2f} s of CPU the first time (compiling), {later:.2f} s after (from numba's cache)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--mask", type=Path, help="importance map of the clip (default: beside it, if there)")
    parser.add_argument("--height", type=int, default=480, help="scale to so many lines")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    if args.clip is None:
        scene = Synthetic(names=["garage"]).eval()[0]
        clip, mask = scene.read(0, args.frames), scene.read_mask(0, args.frames)
    else:
        path = args.mask or args.clip.with_name(args.clip.stem + ".mask.mkv")
        clip = read_clip(args.clip, 0, args.frames)
        mask = read_map(path, 0, args.frames) if path.is_file() else torch.ones_like(clip[:, :1]).float()
    size = args.height, round(args.height * clip.shape[-1] / clip.shape[-2])
    clip = torch.nn.functional.interpolate(clip.float(), size, mode="bilinear", antialias=True).round().byte()
    mask = torch.nn.functional.interpolate(mask, size)
    peers = ", ".join(f"{name} {version(name)}" for name in ("compressai", "constriction"))
    print(f"{args.clip.stem if args.clip else 'garage'} at {size[1]}x{size[0]}; {peers}; one thread")
    print(f"{'':30}{'Msymbols/s':^16}{'bytes':>10}{'against the':>13}")
    print(f"{'':30}{'write':>8}{'read':>8}{'a frame':>10}{'tables':>13}")
    for beta, u in CASES:
        print(f"{MODEL}, beta {beta:g}, u_alpha {u:g}")
        frames = capture(clip, weighted_mask(mask, u), beta)
        measure(frames[1:], args.rounds)
        if (beta, u) == (1e-3, 1.0):
            print("the same tables, random symbols")
            measure([draw(parts) for parts in frames[1:]], args.rounds)
    share(clip, mask, 1e-3, args.threads)
    start_up()


if __name__ == "__main__":
    main()
