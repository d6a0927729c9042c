"""The searches for motion: block after block, and many blocks at once, in PyTorch's operations or a kernel of Triton.

Codes P-frames of clips with a released model, alpha = 1 and 26.5, and gives what its encoder asks to both searches: of
squares of several blocks, of blocks, and of their quarters. Prints how far rounds of some radii lower J, in % of what
it was, and the time of a P-frame: CPU time where it is a CPU's.

    python benchmarks/motion_search.py [--data DIR] [--frames N] [--radii 1,1 4,2,1] [--device cuda] [--enlarge K]

DIR is a folder of training clips, of which the held-out scenes with masks are coded. Without it: a scene made by pvc.
``--enlarge 4`` makes 456x256 four times as wide and high, 0.9 times the pixels of 1920x1080.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from itertools import product
from statistics import fmean

import torch
import torch.nn.functional as F
from rdoq import code, scenes
from torch import Tensor

from pvc.entropy import spatial
from pvc.models import motion_blocks, motion_search, rdoq
from pvc.models.checkpoint import load_model
from pvc.models.rows import BlockSynthesis
from pvc.models.warp import warp
from pvc.paths import find_checkpoints

BETAS = (2e-4, 3.2e-3)
Problem = dict[str, Tensor]


def asked(model, clip: Tensor, mask: Tensor) -> list[Problem]:
    """What the encoder asks for each P-frame."""
    found, usual = [], motion_search.refine_by_loop

    def listen(radii: tuple[int, ...], **problem: Tensor) -> Tensor:
        found.append({k: v.clone() for k, v in problem.items()})
        return usual(radii, **problem)

    motion_search.refine_by_loop = listen
    try:
        for u in (1.0, 0.2):
            for beta in BETAS:
                code(model, clip, mask, u, beta, rdoq.ROUNDS)
    finally:
        motion_search.refine_by_loop = usual
    return found


def block(problem: Problem) -> int:
    """Pixels on a side of a block that has a motion."""
    return problem["functions"].shape[-1] // 2


def total(problem: Problem, symbols: Tensor) -> float:
    """J of ``symbols``."""
    synthesis = BlockSynthesis(2, 2, 2 * block(problem), block(problem)).requires_grad_(False)
    synthesis.weight.copy_(problem["functions"][0, 1, 1])
    height, width = problem["flow"].shape[-2:]  # the last blocks may reach beyond
    flow = problem["flow"] + synthesis(symbols - problem["symbols"])[..., :height, :width]
    error = warp([problem["reference"]], flow, torch.zeros_like(flow[:, :1])) - problem["target"]
    coded = spatial.differences(symbols, (0, 1), problem["factor"]) / problem["factor"]
    magnitude = coded.abs().long().clamp(max=problem["prices"].shape[2] - 1)
    bits = problem["prices"][0][problem["rows"][0].long(), magnitude[0]]
    return ((error.square() * problem["weight"]).sum() + bits.sum()).item()


def timed(refine: Callable[..., Tensor], radii: tuple[int, ...], problem: Problem) -> tuple[Tensor, float]:
    """What it finds, on the CPU, and seconds."""
    if problem["target"].is_cuda:
        refine((1,), **problem)  # what is made once
        torch.cuda.synchronize()
        began = time.perf_counter()
        found = refine(radii, **problem)
        torch.cuda.synchronize()
        return found.cpu().float(), time.perf_counter() - began
    began = time.process_time()
    return refine(radii, **problem).float(), time.process_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--model", default=str(find_checkpoints("mr-md-ssf-tiny")[0]))
    parser.add_argument("--radii", nargs="*", default=["1", "4", "2,1", "2,1,1", "4,2,1"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--enlarge", type=int, default=1)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    model, problems = load_model(args.model), []
    for scene in scenes(args.data):
        clip, mask = scene.read(0, args.frames), scene.read_mask(0, args.frames).float()
        clip, mask = (F.interpolate(x.float(), scale_factor=args.enlarge).to(x.dtype) for x in (clip, mask))
        problems += asked(model, clip, mask)
    print("| search | blocks | radii | J, % | ms a P-frame |", "|---|---:|---|---:|---:|", sep="\n")
    searches = [("block after block", motion_search.refine_by_loop, "cpu")]
    searches += [("many at once", motion_blocks.refine, args.device)]
    if args.device != "cpu":
        searches.append(("many at once, a kernel", motion_search.search_of_gpu(), args.device))
    for name, refine, device in searches:
        for size, radii in product(sorted({block(p) for p in problems}, reverse=True), args.radii):
            own = [p for p in problems if block(p) == size]
            rounds = tuple(int(r) for r in radii.split(","))
            done = [timed(refine, rounds, {k: v.to(device) for k, v in p.items()}) for p in own]
            change = fmean(100 * (total(p, found) / total(p, p["symbols"]) - 1) for p, (found, _) in zip(own, done))
            seconds = fmean(s for _, s in done)
            print(f"| {name} | {size} | {radii} | {change:+.1f} | {1000 * seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
