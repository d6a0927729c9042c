"""What share of beta I-frames should have, where a model of several rates codes at one beta (pvc/codecs/neural.py).

Codes clips with a released model at four rates with real bytes, one group of pictures each. BD-rates in % against one
beta for all frames, in the mean of the frames' PSNRs, means over clips; less is better.

    python benchmarks/iframe_beta.py [--data DIR] [--frames N] [--shares 0.7 0.5 0.35] [--model PATH]

DIR is a folder of training clips, of which the held-out scenes with masks are coded. Without it: a scene made by pvc.
"""

import argparse
import statistics
import warnings

import bjontegaard
import torch
from rdoq import scenes

from pvc.codecs.neural import NeuralCodec
from pvc.importance import alpha_from_u, weighted_mask
from pvc.metrics.psnr import Psnr
from pvc.paths import find_checkpoints

BETAS = (2e-4, 8e-4, 3.2e-3, 1.28e-2)
COLUMNS = ((1.0, "psnr"), (0.2, "psnr_roi"), (0.2, "psnr_bg"))


def curves(codec: NeuralCodec, clip: torch.Tensor, mask: torch.Tensor, share: float) -> list[tuple[list, list]]:
    """(sizes, PSNRs) by column of the table."""
    found = {}
    for u in (1.0, 0.2):
        for beta in BETAS:
            point = {"beta": beta, "alpha": float(alpha_from_u(u)), "iframe_beta": share}
            data = codec.encode(clip, point, weighted_mask(mask, u))
            values = Psnr()(clip, codec.decode(data), mask).values
            for name in ("psnr", "psnr_roi", "psnr_bg"):
                found.setdefault((u, name), []).append((len(data), values[name]))
    return [tuple(zip(*found[column])) for column in COLUMNS]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--shares", nargs="*", type=float, default=[0.7, 0.5, 0.35, 0.25])
    parser.add_argument("--model", default=str(find_checkpoints("mr-md-ssf-tiny")[0]))
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    codec = NeuralCodec(args.model, gop=args.frames)
    clips = [(s.read(0, args.frames), s.read_mask(0, args.frames).float()) for s in scenes(args.data)]
    base = [curves(codec, *clip, 1.0) for clip in clips]
    print("| share | alpha = 1 | ROI, alpha = 26.5 | background, alpha = 26.5 |", "|---:" * 4 + "|", sep="\n")
    for share in args.shares:
        found = [curves(codec, *clip, share) for clip in clips]
        gains = [
            statistics.mean(
                bjontegaard.bd_rate(*a[k], *b[k], method="pchip", min_overlap=0) for a, b in zip(base, found)
            )
            for k in range(len(COLUMNS))
        ]
        print(f"| {share:g} | {' | '.join(f'{gain:+.1f}' for gain in gains)} |", flush=True)


if __name__ == "__main__":
    main()
