"""What it costs in rate that the coder's tables are chosen in exact arithmetic, which every device gives alike.

    python benchmarks/exact_rate.py CLIP... [--frames 12] [--size 640x384]
        [--beta 1e-4 4e-4 1.6e-3 6.4e-3] [--model mr-md-ssf-tiny ssf-tiny]

Each clip is encoded twice: as always, and with the same networks in plain float32 with their weights as they were
trained. Bits are those of the files.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F

from pvc.codecs import load_codec
from pvc.entropy import exact
from pvc.video import VideoReader


@contextmanager
def in_float() -> Iterator[None]:
    """Networks that pick tables are evaluated as any other."""
    run = exact.run
    exact.run = lambda layers, x, e=None: layers(x.float(), None if e is None else e.float()).double()
    try:
        with torch.inference_mode():
            yield
    finally:
        exact.run = run


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", metavar="CLIP")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", default="640x384")
    parser.add_argument("--beta", type=float, nargs="+", default=[1e-4, 4e-4, 1.6e-3, 6.4e-3])
    parser.add_argument("--model", nargs="+", default=["mr-md-ssf-tiny", "ssf-tiny"])
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    print("| clip | model | beta | bytes | bytes, float32 | more |\n|---|---|---:|---:|---:|---:|")
    total = {True: 0, False: 0}
    for file in args.clips:
        frames = torch.stack(list(islice(VideoReader(file), args.frames)))
        frames = F.interpolate(frames.float(), (height, width), mode="area").round().byte()
        for name in args.model:
            codec = load_codec(name)
            for point in codec.points({"beta": args.beta, "u_alpha": [1.0]}):
                held = len(codec.encode(frames, point, fps=Fraction(25)))
                with in_float():
                    free = len(codec.encode(frames, point, fps=Fraction(25)))
                total = {True: total[True] + held, False: total[False] + free}
                print(f"| {Path(file).stem} | {name} | {point['beta']:g} | {held} | {free} | {held / free - 1:+.2%} |")
    print(f"| all | | | {total[True]} | {total[False]} | {total[True] / total[False] - 1:+.2%} |")


if __name__ == "__main__":
    main()
