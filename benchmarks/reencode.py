"""What it takes to code a clip again at its bitrate with another map, as the annotation tool does.

    python benchmarks/reencode.py CLIP [--size 800x450] [--frames 150] [--kbps 140 300 1000] [--threads 2]

CLIP is scaled to the size, and played to and fro to have so many frames. The map is as if painted: neutral, with a blob
of importance 1 that moves and one of 0. The codec is ``x264-annotation``, in two passes with the map. Of the ways,
``unknown`` asks the encoder for the bitrate itself; ``tool`` asks at first for what gave the baseline its bitrate, as
the tool does; ``whole`` is that with all else that a participant waits for: the map is read, PSNR of the picture and of
what was painted measured. They take turns; seconds are of the clock, the smallest of ``--repeat``, with CPU seconds
beside them, and each way's largest miss of the bitrate.
"""

import argparse
import tempfile
import time
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
import torch

from pvc.annotate.clip import Clip
from pvc.annotate.maps import NEUTRAL, at_clip_size, write_values
from pvc.annotate.quality import measure
from pvc.annotate.reencode import reencode
from pvc.codecs import load_codec
from pvc.codecs.recode import Recoder
from pvc.importance import ALPHA_MAX
from pvc.video import read_clip, write_clip

FPS, CELL = Fraction(30), 4
WAYS = ("unknown", "tool", "whole")


def painted(frames: int, height: int, width: int) -> np.ndarray:
    """uint8 ``[T, h, w]``: 127, with a blob of 255 and one of 0, a quarter of the map high, that move."""
    planes = []
    for t in range(frames):
        plane = np.full((height, width), NEUTRAL, np.uint8)
        x = int(width * (0.2 + 0.5 * t / frames))
        cv2.circle(plane, (x, height // 2), height // 4, 255, -1)
        cv2.circle(plane, (width - x // 2, height // 4), height // 5, 0, -1)
        planes.append(cv2.GaussianBlur(plane, (0, 0), 2))
    return np.stack(planes)


def make_ready(path: Path, folder: Path, size: tuple[int, int], frames: int) -> None:
    """``source.mkv`` in ``folder`` as the tool keeps it."""
    scaled = [cv2.resize(f.permute(1, 2, 0).numpy(), size[::-1]) for f in read_clip(path, count=frames)]
    pictures = islice(cycle(scaled + scaled[::-1]), frames)
    clip = torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures])
    write_clip(folder / "source.mkv", clip, FPS, codec="rawvideo", pix_fmt="yuv420p")


def code_baseline(folder: Path, recoder: Recoder, kbps: float, threads: int, grid: tuple[int, int, int]) -> Clip:
    """The clip as :mod:`pvc.annotate.prepare` leaves it, with the bitrate ``kbps``."""
    done = recoder.code(folder / "baseline.mp4", kbps)
    quality = measure(folder / "source.mkv", folder / "baseline.mp4", grid)
    np.save(folder / "baseline-error.npy", quality.cells)
    codec = {
        "name": "x264-annotation",
        "threads": threads,
        "gop": 12,
        "device": "cpu",
        "tolerance": 0.02,
        "alpha": 26.5,
    }
    about = {"width": recoder.size[1], "height": recoder.size[0], "frames": grid[0], "fps": (FPS.numerator, 1)}
    rate = {"target_kbps": done.kbps, "asked_kbps": done.asked, "baseline": {"kbps": done.kbps, "psnr": quality.psnr}}
    return Clip(folder, "clip", **about, map={"height": grid[1], "width": grid[2]}, **rate, codec=codec, propagate={})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", type=Path, nargs="?", help="without it nothing is run")
    parser.add_argument("--size", default="800x450")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--kbps", nargs="+", type=float, default=[140, 300, 1000])
    parser.add_argument("--threads", nargs="+", type=int, default=[2])
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    if args.clip is None:
        print("nothing is run without CLIP")
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(1)  # as in the tool's workers
    width, height = map(int, args.size.split("x"))
    grid = args.frames, -(-height // CELL), -(-width // CELL)
    values, codec = painted(*grid), load_codec("x264-annotation")
    print(
        "| threads | kbit/s | way | largest miss | seconds | CPU seconds | dB painted | dB elsewhere |\n|" + "---|" * 8
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_ready(args.clip, folder, (height, width), args.frames)
        write_values(folder / "map.mkv", values, FPS)
        maps = (torch.from_numpy(at_clip_size(plane, (height, width))).float()[None] / 255 for plane in values)
        offsets = [codec.delta_qp.blocks(q, ALPHA_MAX) for q in maps]
        for threads in args.threads:
            recoder = Recoder(codec, folder / "source.mkv", FPS, args.frames, threads)
            for kbps in args.kbps:
                clip = code_baseline(folder, recoder, kbps, threads, grid)
                took: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
                for _ in range(args.repeat):
                    for way in WAYS:
                        start, cpu = time.perf_counter(), time.process_time()
                        if way == "whole":
                            done = reencode(clip, folder / "map.mkv", folder / "out.mp4")
                        else:
                            ask = clip.asked_kbps if way == "tool" else None
                            done = recoder.code(folder / "out.mp4", clip.target_kbps, offsets, ask=ask)
                        seconds = time.perf_counter() - start, time.process_time() - cpu
                        took[way].append((*seconds, done.kbps / clip.target_kbps - 1))
                for way, runs in took.items():
                    wall, cpu = (min(run[i] for run in runs) for i in (0, 1))
                    miss = max((run[2] for run in runs), key=abs)
                    gains = f"{done.gain_painted:+.2f} | {done.gain_elsewhere:+.2f}" if way == "whole" else " | "
                    print(f"| {threads} | {kbps:g} | {way} | {miss:+.2%} | {wall:.2f} | {cpu:.2f} | {gains} |")


if __name__ == "__main__":
    main()
