"""What the host has to do for each frame that a GPU codes, measured without one.

A GPU's frames come no faster than the host starts their operations. Coding frames of 96x96 on one thread takes little
more than that where convolutions and products give zeros at once; so it is measured there, with the search for motion
as kernels, which are not started, or in PyTorch's operations. What the host computes for each pixel is measured at full
size. "main" is the thread that starts the operations; what others do passes meanwhile.

    python benchmarks/host_time.py [--size 1920x1080] [--frames N]
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from unittest import mock

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.utils import _pair

from pvc.codecs.rate_control.coding import Frame, FrameCoder
from pvc.data.synthetic import Synthetic
from pvc.entropy.coder import Writer
from pvc.models import motion_blocks, motion_search, rdoq
from pvc.models.checkpoint import load_model
from pvc.paths import find_checkpoints
from pvc.video import VideoReader, VideoWriter

BETA = 1e-3
SMALL = 96  # the least that is searched by blocks of all sizes


def best(work: Callable[[], object], times: int = 20) -> float:
    """Milliseconds of the fastest of ``times``."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return 1000 * min(found)


def row(what: str, value: float, where: str = "") -> None:
    """One line of the table."""
    print(f"| {what} | {value:.1f} | {where} |", flush=True)


def convolved(x: Tensor, weight: Tensor, bias=None, stride=(1, 1), padding=(0, 0), dilation=1, groups=1) -> Tensor:
    """Zeros of the shape that a convolution has."""
    padding, stride = _pair(padding), _pair(stride)
    size = ((n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape[2:], padding, weight.shape[2:], stride, strict=True))
    return x.new_zeros(len(x), len(weight), *size)


def multiplied(x: Tensor, weight: Tensor, bias=None) -> Tensor:
    """Zeros of the shape that a linear layer has."""
    return x.new_zeros(*x.shape[:-1], len(weight))


@contextmanager
def without_arithmetic() -> Iterator[None]:
    """Convolutions and linear layers take no time."""
    with mock.patch.object(F, "conv2d", convolved), mock.patch.object(F, "linear", multiplied):
        yield


def started(model, frames: Tensor) -> None:
    """Of small frames [2, 3, h, w]: coding and decoding."""
    x, q = frames[:, None], torch.ones(1, 1, *frames.shape[-2:])
    stream, first = model.encode_frame(x[0], BETA, q, None)
    hint = model.hint(x[1], x[0])
    sizes = set()

    def nothing(radii: tuple[int, ...], **problem: Tensor) -> Tensor:
        sizes.add(problem["functions"].shape[-1])
        return problem["symbols"]

    for name, search in (("kernels, not started", nothing), ("PyTorch's operations", motion_blocks.refine)):
        with mock.patch.object(motion_search, "refine_by_loop", search):
            second, _ = model.encode_frame(x[1], BETA, q, first, hint, rdoq=rdoq.ROUNDS)
            work = lambda: model.encode_frame(x[1], BETA, q, first, hint, rdoq=rdoq.ROUNDS)  # noqa: E731
            row(f"P-frame in, search in {name}", best(work), "main")
    assert len(sizes) == len(motion_search.RADII)
    row("I-frame in", best(lambda: model.encode_frame(x[0], BETA, q, None, rdoq=rdoq.ROUNDS)), "main")
    past, shape = model.decode_frame(stream, BETA, x.shape[-2:], None), x.shape[-2:]
    symbols = model.read_frame(second, BETA, shape, past.symbols)
    row("P-frame out, symbols", best(lambda: model.read_frame(second, BETA, shape, past.symbols)), "thread")
    row("P-frame out, picture", best(lambda: model.rebuild_frame(symbols, BETA, past, torch.float32)), "main")


def coded(model, frames: Tensor) -> None:
    """The coder alone, for the second of ``frames`` [2, 3, H, W] of full size."""
    x = model.pad(frames[:, None])
    past = model.encode_frame(x[0], BETA, torch.ones_like(x[0, :, :1]), None)[1]
    whole, finished = Writer.finish, []

    def listen(writer: Writer) -> bytes:
        finished.append(best(lambda: whole(writer), 5))
        return whole(writer)

    with mock.patch.object(Writer, "finish", listen):
        model.encode_frame(x[1], BETA, torch.ones_like(x[1, :, :1]), past, model.hint(x[1], x[0]))
    row("coder, P-frame in", finished[0], "main")


def moved(model, frames: Tensor, size: tuple[int, int]) -> None:
    """Files, and the motion hint, of uint8 ``frames`` [N, 3, H, W]."""
    coder, frame = FrameCoder(model, torch.device("cpu"), 1.0, None), Frame(frames[1], None, None, before=frames[0])
    row("motion hint", best(lambda: coder._hint(frame, "cpu"), 3), "4 threads")
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("mp4", "y4m"):
            path = Path(folder) / f"clip.{kind}"

            def write(path=path) -> None:
                with VideoWriter(path, width=size[0], height=size[1], fps=Fraction(30)) as writer:
                    for frame in frames:
                        writer.write(frame)

            def read(path=path) -> None:
                with VideoReader(path) as reader:
                    for _ in reader:
                        pass

            row(f"{kind} written", best(write, 2) / len(frames), "thread")
            row(f"{kind} read", best(read, 2) / len(frames), "thread")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--frames", type=int, default=12)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    width, height = map(int, args.size.split("x"))
    model = load_model(find_checkpoints("mr-md-ssf-tiny")[0])
    clip = Synthetic(names=["garage"]).eval()[0].read(0, args.frames).float()
    small, large = (
        F.interpolate(clip, size, mode="area" if size[0] == SMALL else "bicubic").clamp(0, 255)
        for size in ((SMALL, SMALL), (height, width))
    )
    print("| of a frame | ms | in |", "|---|---:|---|", sep="\n")
    with without_arithmetic():
        started(model, small[:2] / 255)
    coded(model, large[:2] / 255)
    moved(model, large.byte(), (width, height))


if __name__ == "__main__":
    main()
