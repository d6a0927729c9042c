"""What a bit takes off the squared error: one more in the base layer, and one in a CPVC model's neural stream.

    python benchmarks/cpvc_bits.py CLIP... [--model cpvc_tiny | FILE.safetensors] [--frames 16] [--coarseness 2]

For each QP: the base layer's rate and error; what a bit buys there (from this QP to the next lower one); rate, gain in
PSNR and what a bit buys of the neural stream (estimated bits), of the model of configs/model before training, or of a
checkpoint. A model whose bits buy less than the base layer's loses in a rate-distortion curve by spending them.
"""

import argparse
import math
from itertools import islice

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table
from torch import Tensor

from pvc.codecs import load_codec
from pvc.models.checkpoint import load_model
from pvc.models.cpvc import CPVC
from pvc.paths import config_dir
from pvc.video import open_video


def made(name: str, coarseness: float | None) -> CPVC:
    """The model to look at, in evaluation mode."""
    if name.endswith(".safetensors"):
        return load_model(name, kind=CPVC)
    settings = [f"model={name}"] + ([] if coarseness is None else [f"model.coarseness={coarseness}"])
    with initialize_config_dir(str(config_dir()), version_base=None):
        config = compose("train", overrides=settings).model
    torch.manual_seed(0)
    return instantiate(config, _convert_="all").eval()


@torch.no_grad()
def measure(model: CPVC, base, clip: Tensor, qp: int) -> tuple[float, float, float, float]:
    """Bits per pixel and squared error of the base layer of ``clip`` (uint8 [T, 3, H, W]), and of what comes on top."""
    data = base.encode(clip, {"qp": qp})
    below = base.decode(data)
    coded = model(clip[None].float() / 255, below[None].float() / 255, torch.tensor([qp]))
    fused = (coded.x_hat[0].clamp(0, 1) * 255).round()
    pixels = clip[:, 0].numel()
    errors = ((clip.float() - x.float()).square().mean().item() for x in (below, fused))
    return 8 * len(data) / pixels, next(errors), coded.bits.sum().item() / pixels, next(errors)


def main() -> None:
    """Prints the table, means over the clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--model", default="cpvc_tiny")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--coarseness", type=float)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = made(args.model, args.coarseness)
    base = load_codec(model.base, gop=32)
    clips = []
    for path in args.clips:
        with open_video(path) as reader:
            clips.append(torch.stack(list(islice(reader, args.frames))))
    rows = []
    for qp in model.qps:
        values = torch.tensor([measure(model, base, clip, qp) for clip in clips]).mean(0).tolist()
        rows.append((qp, *values))
    table = Table(title=f"{args.model}: squared error (of 255) for a bit per pixel")
    for column in ("QP", "base bpp", "error", "a bit buys", "neural bpp", "gain (dB)", "a bit buys "):
        table.add_column(column, justify="right")
    for i, (qp, base_bpp, error, bpp, fused) in enumerate(rows):
        better = rows[i - 1] if i else None
        slope = "" if better is None else f"{(error - better[2]) / (better[1] - base_bpp):.0f}"
        bought = f"{(error - fused) / bpp:.0f}" if bpp > 1e-6 else ""
        gain = f"{10 * math.log10(error / fused):+.2f}"
        table.add_row(str(qp), f"{base_bpp:.4f}", f"{error:.1f}", slope, f"{bpp:.4f}", gain, bought)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
