"""How often a block of the step map differs from what it is compared with, and what the map costs.

The shares are what ``CHANGE`` in ``pvc/entropy/step_map.py`` was chosen from; the bits are those of a group of
pictures of 12 frames with these shares. Perlin masks are those of training; with a folder of clips, their true masks
count too (use clips that nothing is measured on).

    python benchmarks/step_map.py [CLIPS] [--alpha 26.5]
"""

import argparse
from collections import Counter

import numpy as np
import torch

from pvc.data.clips import ClipFolder
from pvc.entropy import step_map
from pvc.importance import PerlinSettings, perlin_mask, u_from_alpha, weighted_mask

FRAMES = 12


def perlin(continuous: float):
    """40 masks [T, 1, 256, 448] in motion."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        yield torch.as_tensor(perlin_mask((FRAMES, 256, 448), rng, PerlinSettings(continuous=continuous))).reshape(
            FRAMES, 1, 256, 448
        )


def true_masks(root: str):
    """The masks of the clips in a folder, cut to whole blocks."""
    for sequence in ClipFolder(root, cache=None).train():
        if sequence.has_mask:
            mask = sequence.read_mask(0, min(FRAMES, sequence.frames))
            yield mask[..., : mask.shape[-2] // 16 * 16, : mask.shape[-1] // 16 * 16]


def measure(masks, u: float) -> tuple[dict, float]:
    """Share of blocks that change, by kind of comparison and edge; bits a pixel."""
    changed, seen, bits, pixels = Counter(), Counter(), 0.0, 0
    for mask in masks:
        before = None
        for q in weighted_mask(mask.float(), u):
            coarse = step_map.of_importance(q[None], 16)
            bits, pixels = bits + step_map.bits(coarse, before).item(), pixels + q.numel()
            for reference in (None, before)[: 1 + (before is not None)]:
                compared, edge, kind = step_map.compared(coarse, reference)
                for e in (0, 1):
                    changed[kind, e] += int(((edge == e) & (coarse != compared)).sum())
                    seen[kind, e] += int((edge == e).sum())
            before = coarse
    return {key: changed[key] / seen[key] for key in seen}, bits / pixels


def main() -> None:
    """Measure all kinds of masks and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="?", help="folder of clips with masks")
    parser.add_argument("--alpha", type=float, default=26.5)
    args = parser.parse_args()
    u = u_from_alpha(args.alpha)
    kinds = {"Perlin, binary": perlin(0.0), "Perlin, continuous": perlin(1.0)}
    if args.clips:
        kinds["true"] = true_masks(args.clips)
    print(f"alpha = {args.alpha:g}; chosen: {step_map.CHANGE}", "", sep="\n")
    print(
        "| masks | frame, flat | frame, edge | row, flat | row, edge | bits a pixel |", "|---|" + "---:|" * 5, sep="\n"
    )
    for name, masks in kinds.items():
        share, bpp = measure(masks, u)
        cells = [f"{share[key]:.4f}" for key in (("frame", 0), ("frame", 1), ("row", 0), ("row", 1))]
        print(f"| {name} | {' | '.join(cells)} | {bpp:.5f} |", flush=True)


if __name__ == "__main__":
    main()
