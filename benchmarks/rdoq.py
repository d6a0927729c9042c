"""What an encoder's searches for better symbols and motion gain and take (pvc/models/rdoq.py, motion_search.py).

Codes clips with a released model at four rates with real bytes. BD-rates in % against dead zones alone, means over
clips, less is better; and the CPU time of coding a frame, all of it. What a bit may cost was chosen with ``--lagrange``
and ``--motion``, which have other values than the usual ones, each with the usual rest.

    python benchmarks/rdoq.py [--data DIR] [--frames N] [--rounds 1 3 6] [--lagrange 1,1 2,2 ...] [--motion 2 8 ...]

DIR is a folder of training clips, of which the held-out scenes with masks are coded. Without it: a scene made by pvc.
"""

import argparse
import statistics
import time
import warnings

import bjontegaard
import torch
from omegaconf import OmegaConf

from pvc.data.clips import ClipFolder
from pvc.data.sequence import Sequence
from pvc.data.synthetic import Synthetic
from pvc.importance import weighted_mask
from pvc.models import coding, motion_search, rdoq
from pvc.models.checkpoint import load_model
from pvc.models.ssf import ScaleSpaceFlow
from pvc.paths import config_dir, find_checkpoints

BETAS = (1e-4, 4e-4, 1.6e-3, 6.4e-3)
HEADER = (
    "| rounds | lambda / 3 beta: I, P | motion: lambda / 3 beta | alpha = 1 | ROI, alpha = 26.5 "
    "| background, alpha = 26.5 | CPU ms a frame |"
)


def scenes(root: str | None) -> list[Sequence]:
    """Clips with masks."""
    if root is None:
        return Synthetic(names=["garage"]).eval()
    held_out = OmegaConf.load(config_dir() / "data" / "clips.yaml").source.default_val
    return [s for s in ClipFolder(root, default_val=held_out, cache=None).val() if s.has_mask]


def code(
    model: ScaleSpaceFlow, clip: torch.Tensor, mask: torch.Tensor, u: float, beta: float, rounds: int
) -> tuple[int, float, float, float]:
    """Bytes and mean squared errors, of all pixels, of the ROI and of the background; one group of pictures."""
    size, errors, past, previous, q = 0, [], None, None, weighted_mask(mask, u)
    for frame, importance in zip(clip, q):
        x = model.pad(frame[None].float() / 255)
        data, past = model.encode_frame(
            x, beta, model.pad(importance[None]), past, model.hint(x, previous), rdoq=rounds
        )
        size, previous = size + len(data), x
        errors.append((past.reference - x)[0, :, : clip.shape[-2], : clip.shape[-1]].square().mean(0, keepdim=True))
    error, roi = torch.stack(errors), mask >= 0.5
    return size, error.mean().item(), error[roi].mean().item(), error[~roi].mean().item()


def curves(model: ScaleSpaceFlow, clip: torch.Tensor, mask: torch.Tensor, rounds: int) -> dict[str, tuple]:
    """(sizes, PSNRs) by column of the table."""
    found = {}
    for u, columns in ((1.0, {"alpha = 1": 1}), (0.2, {"ROI": 2, "background": 3})):
        points = [code(model, clip, mask, u, beta, rounds) for beta in BETAS]
        for name, place in columns.items():
            found[name] = [p[0] for p in points], [-10 * torch.tensor(p[place]).log10().item() for p in points]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--rounds", nargs="*", type=int, default=[1, 3, 6])
    parser.add_argument("--lagrange", nargs="*", default=[], help="pairs such as 1.2,2.5, each with the usual rounds")
    parser.add_argument("--motion", nargs="*", type=float, default=[], help="lambda / 3 beta such as 8; 0: no search")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    model, used = load_model(find_checkpoints("mr-md-ssf-tiny")[0]), tuple(coding.LAGRANGE.values())
    pairs = [tuple(map(float, pair.split(","))) for pair in args.lagrange]
    usual = motion_search.LAGRANGE
    variants = [(0, used, 0), (rdoq.ROUNDS, used, 0)]
    variants += [(n, used, usual) for n in args.rounds] + [(rdoq.ROUNDS, pair, usual) for pair in pairs]
    variants += [(rdoq.ROUNDS, used, motion) for motion in args.motion]
    clips = [(s.read(0, args.frames), s.read_mask(0, args.frames).float()) for s in scenes(args.data)]
    print(HEADER, "|---|---|---|" + "---:|" * 4, sep="\n")
    base = None
    for rounds, pair, motion in variants:
        coding.LAGRANGE.update(zip(coding.LAGRANGE, pair))
        motion_search.LAGRANGE = motion or usual
        ScaleSpaceFlow.motion_searchable = motion > 0
        began = time.process_time()
        found = [curves(model, clip, mask, rounds) for clip, mask in clips]
        took = (time.process_time() - began) / (8 * sum(len(clip) for clip, _ in clips))
        base = base or found
        gains = [
            statistics.mean(
                bjontegaard.bd_rate(*a[k], *b[k], method="pchip", min_overlap=0) for a, b in zip(base, found)
            )
            for k in base[0]
        ]
        cells = f"{rounds} | {pair[0]:g}, {pair[1]:g} | {f'{motion:g}' if motion else 'none'}"
        print(f"| {cells} | {' | '.join(f'{gain:+.1f}' for gain in gains)} | {1000 * took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
