"""What skipping symbols that are certain to be zero costs and gains, by the level up to which they are skipped.

Codes clips with a released model at four rates with real bytes and prints the BD-rate against coding all symbols; the
distortion counts a pixel of importance q by 60^(q - 1), as the model was trained to. Below zero is a gain. Bytes and
distortion at each rate follow, for the level that pvc uses.

    python benchmarks/entropy_skip.py [CLIP...] [--frames 8] [--u-alpha 1 0.2]

Without CLIP: scenes made by pvc. The importance map of a clip is CLIP.mask.mkv beside it.
"""

import argparse
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import bjontegaard
import torch
from torch import Tensor

from pvc.data.synthetic import Synthetic
from pvc.entropy import skip
from pvc.importance import weighted_mask
from pvc.models.checkpoint import load_model
from pvc.models.ssf import ScaleSpaceFlow
from pvc.paths import find_checkpoints
from pvc.video import read_clip, read_map

BETAS = (1e-4, 4e-4, 1.6e-3, 6.4e-3)
NEVER = -1000
LEVELS = (NEVER, -4, -2, -1, 0)


def code(model: ScaleSpaceFlow, clip: Tensor, q: Tensor, beta: float, level: int) -> tuple[int, float]:
    """Bytes and weighted mean squared error of ``clip`` uint8 [T, 3, H, W], one group of pictures."""
    skip.SKIP_LEVEL, size, error = level, 0, 0.0
    past = previous = None
    for frame, mask in zip(clip, q):
        x, mask = model.pad(frame[None].float() / 255), model.pad(mask[None])
        data, past = model.encode_frame(x, beta, mask, past, model.hint(x, previous))
        size, previous = size + len(data), x
        error += (60 ** (mask - 1) * (past.reference - x) ** 2).mean().item() / len(clip)
    return size, error


def scenes(paths: list[Path], frames: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, clip uint8 [T, 3, H, W] and mask [T, 1, H, W], all ones where a clip has none."""
    for path in paths:
        clip, mask = read_clip(path, 0, frames), path.with_name(path.stem + ".mask.mkv")
        yield path.stem, clip, read_map(mask, 0, frames) if mask.is_file() else torch.ones_like(clip[:, :1]).float()
    for scene in [] if paths else Synthetic(names=["garage"]).eval():
        yield scene.name, scene.read(0, frames), scene.read_mask(0, frames)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--u-alpha", nargs="+", type=float, default=[1.0, 0.2])
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    model, used = load_model(find_checkpoints("mr-md-ssf-tiny")[0]), skip.SKIP_LEVEL
    print(f"{'BD-rate in %':38}{'u_alpha':>8}" + "".join(f"{f'up to {x}':>10}" for x in LEVELS[1:]))
    for name, clip, mask in scenes(args.clips, args.frames):
        for u in [1.0] if mask.all() else args.u_alpha:
            points = {x: [code(model, clip, weighted_mask(mask, u), beta, x) for beta in BETAS] for x in LEVELS}
            curves = {x: ([n for n, _ in p], [-10 * math.log10(d) for _, d in p]) for x, p in points.items()}
            gains = (bjontegaard.bd_rate(*curves[NEVER], *curves[x], method="pchip") for x in LEVELS[1:])
            print(f"{name[:36]:38}{u:>8g}" + "".join(f"{gain:>10.2f}" for gain in gains))
            pairs = zip(points[NEVER], points[used])
            changes = (f"{100 * (n / m - 1):+.2f} % bytes {100 * (e / d - 1):+.2f} % error" for (m, d), (n, e) in pairs)
            print(f"{'':4}at {used}: " + ", ".join(changes))


if __name__ == "__main__":
    main()
