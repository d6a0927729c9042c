"""Time that CPVC takes for a 1080p frame, part by part, and its parameters.

    python benchmarks/cpvc_speed.py [--models cpvc cpvc_tiny] [--size 1920x1080] [--frames 2] [--device cuda] [--qp 32]

Models have random weights: the time does not hang on them, but for the coding of symbols. A moving scene is coded by
the base codec, then by the networks as `pvc encode` and `pvc decode` do it. On a CPU these are CPU seconds of one
thread, which a busy machine stretches less than the clock; of the base codec its processes' too. On a GPU the networks
are by the clock, the best of --frames. The paper (section IV.E) says 911 ms to encode a 1080p frame, VVenC with it, and
9.62 million parameters; on which GPU is not said (it trains on NVIDIA 4090).
"""

import argparse
import resource
import time
from collections.abc import Callable
from fractions import Fraction

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table

from pvc.codecs import load_codec
from pvc.data.synthetic import Synthetic
from pvc.models.cpvc import CPVC
from pvc.paths import config_dir

PAPER_MS, PAPER_PARAMETERS = 911, 9.62


def cpu_seconds() -> float:
    """Of this process and of those that it has started and that have ended."""
    return sum(
        u.ru_utime + u.ru_stime for u in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def timed(device: str, work: Callable):
    """What ``work`` gives, and its milliseconds."""
    if device == "cpu":
        start = cpu_seconds()
        return work(), 1000 * (cpu_seconds() - start)
    torch.cuda.synchronize()
    start = time.perf_counter()
    result = work()
    torch.cuda.synchronize()
    return result, 1000 * (time.perf_counter() - start)


def make(name: str, device: str) -> CPVC:
    """The model of configs/model with random weights, ready to code."""
    with initialize_config_dir(str(config_dir()), version_base=None):
        config = compose("train", overrides=[f"model={name}"]).model
    torch.manual_seed(0)
    model = instantiate(config, _convert_="all").eval()
    model.update()
    return model.to(device, memory_format=torch.channels_last)


def scene(width: int, height: int, frames: int) -> torch.Tensor:
    """A made scene scaled to the size, uint8 [T, 3, H, W]."""
    clip = Synthetic(names=["garage"]).eval()[0].read(0, frames).float()
    return torch.nn.functional.interpolate(clip, (height, width), mode="bicubic").round().clamp(0, 255).byte()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["cpvc", "cpvc_tiny"])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--qp", type=int, default=32)
    args = parser.parse_args()
    torch.set_num_threads(1)
    clip = scene(*map(int, args.size.split("x")), args.frames)
    base = load_codec("vvenc-cpvc", gop=32)
    size, count = tuple(clip.shape[-2:]), len(clip)
    data, base_ms = timed(
        "cpu",
        lambda: b"".join(base.encode_frames(iter(clip), {"qp": args.qp}, fps=Fraction(30), count=count, size=size)),
    )
    below, base_decode_ms = timed("cpu", lambda: torch.stack([*base.decode_frames(data)]))
    base_ms, base_decode_ms = base_ms / count, base_decode_ms / count
    x, below = (p.to(args.device).float() / 255 for p in (clip, below))
    table = Table(title=f"ms for a frame of {args.size}, {args.device}")
    columns = ("parameters", "base encode", "base decode", "neural encode", "neural decode", "encode in all")
    for column in ("model", *columns):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name in args.models:
        model, times, state = make(name, args.device), [], None
        for frame, base_frame in zip(x, below):
            code = lambda: model.encode_frame(frame[None], base_frame[None], args.qp, state)  # noqa: B023, E731
            (data, state), encode_ms = timed(args.device, code)
            restore = lambda: model.decode_frame(data, base_frame[None], args.qp)  # noqa: B023, E731
            times.append((encode_ms, timed(args.device, restore)[1]))
        encode_ms, decode_ms = map(min, zip(*times))
        millions = sum(p.numel() for p in model.parameters()) / 1e6
        encode_all = base_ms + base_decode_ms + encode_ms
        row = (base_ms, base_decode_ms, encode_ms, decode_ms, encode_all)
        table.add_row(name, f"{millions:.2f} M", *(f"{v:,.0f}" for v in row))
    table.add_row("paper", f"{PAPER_PARAMETERS:.2f} M", "", "", "", "", f"{PAPER_MS}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
