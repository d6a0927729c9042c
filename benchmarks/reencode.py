"""What it takes to code a clip again at the same bitrate with another importance map, as the annotation tool does.

    python benchmarks/reencode.py CLIP [--size 800x450] [--frames 150] [--kbps 300 600 1000] [--threads 1 2]

CLIP is scaled to the size, and played to and fro to have so many frames. The map is as if painted: neutral, with a blob
of importance 1 that moves and one of 0. The codec is ``x264-annotation``. Three ways: two passes with the map; the
second pass alone, with what a first pass without map had found out; and that again, with as much more or less asked
for, where it missed by more than 1 %. Seconds are of the clock, the smallest of ``--repeat``, with CPU seconds beside
them. Frames are in memory as RGB; conversion to 4:2:0 and the offsets are part of the time.
"""

import argparse
import tempfile
import time
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import cv2
import torch
from torch import Tensor

from pvc.codecs import load_codec
from pvc.codecs.avcodec import X264, AvCodec
from pvc.codecs.two_pass import CLOSE, _options
from pvc.video import read_clip

FPS = Fraction(30)


def painted(frames: int, height: int, width: int) -> Tensor:
    """float32 ``[T, 1, H, W]``: 127 / 255, with a blob of 1 and one of 0, a quarter of the frame high, that move."""
    maps = []
    for t in range(frames):
        q = torch.full((height, width), 127 / 255).numpy()
        x = int(width * (0.2 + 0.5 * t / frames))
        cv2.circle(q, (x, height // 2), height // 4, 1.0, -1)
        cv2.circle(q, (width - x // 2, height // 4), height // 5, 0.0, -1)
        maps.append(torch.from_numpy(cv2.GaussianBlur(q, (0, 0), 8)).clamp(0, 1)[None])
    return torch.stack(maps)


def run(codec: AvCodec, clip: Tensor, maps: Tensor | None, number: int, kbps: float, stats: str) -> float:
    """One pass; kbit/s that came out."""
    size = clip.shape[-2:]
    pictures = codec._pictures(
        clip, None if maps is None else 60.0, None if maps is None else iter(maps), len(clip), size
    )
    options = _options(codec.encoder, codec._options, number, kbps, stats)
    coded = sum(len(chunk) for chunk in codec._code(pictures, options, FPS, size))
    return 8 * coded * float(FPS) / len(clip) / 1000


def both(codec: AvCodec, clip: Tensor, maps: Tensor, kbps: float, stats: str) -> float:
    """Two passes with the map."""
    run(codec, clip, maps, 1, kbps, stats + "own")
    return run(codec, clip, maps, 2, kbps, stats + "own")


def second(codec: AvCodec, clip: Tensor, maps: Tensor, kbps: float, stats: str) -> float:
    """The second pass alone."""
    return run(codec, clip, maps, 2, kbps, stats)


def corrected(codec: AvCodec, clip: Tensor, maps: Tensor, kbps: float, stats: str) -> float:
    """The second pass, and once more where it missed."""
    got = run(codec, clip, maps, 2, kbps, stats)
    return got if abs(got / kbps - 1) <= CLOSE else run(codec, clip, maps, 2, kbps * kbps / got, stats)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", type=Path, nargs="?", help="without it nothing is run")
    parser.add_argument("--size", default="800x450")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--kbps", nargs="+", type=float, default=[300, 600, 1000])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeat", type=int, default=2)
    args = parser.parse_args()
    if args.clip is None:
        print("nothing is run without CLIP")
        return
    width, height = map(int, args.size.split("x"))
    scaled = [cv2.resize(f.permute(1, 2, 0).numpy(), (width, height)) for f in read_clip(args.clip)[: args.frames]]
    clip = torch.stack(
        [torch.from_numpy(f).permute(2, 0, 1) for f in islice(cycle(scaled + scaled[::-1]), args.frames)]
    )
    maps = painted(args.frames, height, width)
    rule = load_codec("x264-annotation").delta_qp
    print("| threads | kbit/s | way | kbit/s got | miss | seconds | CPU seconds |\n|" + "---|" * 7)
    for threads in args.threads:
        codec = X264("x264-annotation", {"preset": "medium"}, threads=threads, delta_qp=rule)
        with tempfile.TemporaryDirectory() as folder:
            for kbps in args.kbps:
                stats = f"{folder}/{kbps:g}"
                run(codec, clip, None, 1, kbps, stats)
                for way in (both, second, corrected):
                    times = []
                    for _ in range(args.repeat):
                        start, cpu = time.perf_counter(), time.process_time()
                        got = way(codec, clip, maps, kbps, stats)
                        times.append((time.perf_counter() - start, time.process_time() - cpu))
                    wall, cpu = map(min, zip(*times, strict=True))
                    label = f"{got:.1f} | {100 * (got / kbps - 1):+.2f} %"
                    print(f"| {threads} | {kbps:g} | {way.__doc__[:-1].lower()} | {label} | {wall:.1f} | {cpu:.1f} |")


if __name__ == "__main__":
    main()
