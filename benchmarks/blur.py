"""Frames a second of the blur by importance, beside FFmpeg's gblur, which blurs the whole frame evenly.

    python benchmarks/blur.py [--width 640 --height 360] [--frames 8] [--rounds 7]

Each entry runs on one core: frames a second of CPU time, the best of several rounds, which go through the entries in
turn so that whatever else the machine does hits them alike. FFmpeg runs in this process (PyAV's libavfilter, one
thread) on planar RGB, as pvc does, and on 4:2:0, which has half the samples. Then the error of the stack of blurred
pictures that ``strong`` works with.
"""

import argparse
import time
from collections.abc import Callable
from fractions import Fraction

import av
import cv2
import numpy as np
import torch
from torch import Tensor

from pvc.importance.blur import load_blur
from pvc.importance.gaussian_stack import GaussianStack, kernel
from pvc.video.color import rgb_to_frame

SIGMA = 8  # of configs/blur/strong.yaml


def gblur(clip: Tensor, pix_fmt: str) -> Callable[[], None]:
    """FFmpeg's ``gblur`` of ``SIGMA`` on every frame; conversion to ``pix_fmt`` is done beforehand."""
    height, width = clip.shape[-2:]
    pictures = [rgb_to_frame(frame).reformat(format=pix_fmt) for frame in clip]
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat(pix_fmt), time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("gblur", f"sigma={SIGMA}:steps=1"), graph.add("buffersink")).configure()
    clock = iter(range(10**9))

    def run() -> None:
        for picture in pictures:
            picture.pts, picture.time_base = next(clock), Fraction(1, 25)
            graph.vpush(picture)
            graph.vpull()

    return run


def ours(clip: Tensor, strength: str, importance: Tensor) -> Callable[[], None]:
    """pvc's blur called ``strength`` on every frame by the same map."""
    blur = load_blur(strength)

    def run() -> None:
        for frame in clip:
            blur(frame, importance)

    return run


def error(frame: Tensor, importance: Tensor) -> tuple[float, float, float]:
    """Of ``strong``, against every pixel's own kernel: mean and largest in grey levels, and the share of bytes."""
    blur = load_blur("strong")
    sigma = blur.sigma(importance)[0].numpy()
    exact = np.zeros(frame.shape)
    for s in np.unique(sigma):
        k = kernel(float(s))
        for plane, out in zip(frame.numpy().astype(np.float64), exact, strict=True):
            out[sigma == s] = cv2.sepFilter2D(plane, -1, k, k, borderType=cv2.BORDER_REPLICATE)[sigma == s]
    got = GaussianStack(blur.largest)(frame.numpy(), sigma)
    off = abs(got - exact)
    return off.mean(), off.max(), (np.rint(got) != np.rint(exact)).mean()


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--frames", type=int, default=8, help="frames a round (8)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds, of which the best counts (7)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    size = (args.height, args.width)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(args.frames, 3, 12, 20, generator=generator) * 255
    clip = torch.nn.functional.interpolate(coarse, size, mode="bicubic")
    clip = (clip + torch.randn(clip.shape, generator=generator) * 8).clamp(0, 255).to(torch.uint8)
    y, x = torch.meshgrid(torch.linspace(-1, 1, size[0]), torch.linspace(-1, 1, size[1]), indexing="ij")
    graded = ((1 - (x.square() + y.square()) / 2) * 255).round()[None] / 255
    mask = (graded > 0.7).float()
    entries = {
        "pvc paper (3x3), graded map": ours(clip, "paper", graded),
        "pvc contrast (3x3), graded map": ours(clip, "contrast", graded),
        f"pvc strong (sigma 0 to {SIGMA}), mask": ours(clip, "strong", mask),
        f"pvc strong (sigma 0 to {SIGMA}), graded map": ours(clip, "strong", graded),
        f"FFmpeg gblur sigma={SIGMA}, RGB, even": gblur(clip, "gbrp"),
        f"FFmpeg gblur sigma={SIGMA}, 4:2:0, even": gblur(clip, "yuv420p"),
    }
    best = dict.fromkeys(entries, float("inf"))
    for run in entries.values():
        run()  # tables and memory
    for _ in range(args.rounds):
        for name, run in entries.items():
            start = time.process_time()
            run()
            best[name] = min(best[name], (time.process_time() - start) / args.frames)
    print(f"{args.width}x{args.height}, one core, best of {args.rounds} rounds of {args.frames} frames\n")
    print("| blur | ms a frame | frames a second |\n|---|---:|---:|")
    for name, seconds in best.items():
        print(f"| {name} | {1000 * seconds:.1f} | {1 / seconds:.0f} |")
    noise = torch.randint(0, 256, clip[0].shape, generator=generator, dtype=torch.uint8)
    for name, frame in (("this clip", clip[0]), ("noise", noise)):
        mean, most, share = error(frame, graded)
        print(f"\nstrong with a graded map on {name}: off by {mean:.4f} grey levels on average and {most:.2f} at most;")
        print(f"{share:.2%} of the bytes differ from the exact result")


if __name__ == "__main__":
    main()
