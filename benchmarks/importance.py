"""How well importance sources find what people marked, and what they cost.

    python benchmarks/importance.py CLIPS [--frames 40] [--source NAME ...]

CLIPS is a folder of clips with true masks (``NAME.mp4`` and ``NAME.mask.mkv``). Of each source: the area under the ROC
curve (probability that a random pixel of the object is more important than a random one outside, ties half), mean over
frames and then scenes; its worst scene; the mean importance inside and outside of the object; milliseconds of processor
time a frame at the clips' size, decoding left out. The centre prior (less important the farther from the centre) says
how much the clips' framing gives away. Scenes on which the parameters of ``spectral`` were chosen have their own table.
"""

import argparse
import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from pvc.importance.registry import load_source
from pvc.video import open_video, read_map

CHOSEN = "bear boat breakdance-flare dance-jump drift-turn flamingo hike kite-walk lucia mallard-fly motorbike stroller"
ON = {f"davis-{name}" for name in CHOSEN.split()}
VARIANTS = {
    "spectral residual alone": {"motion": 0.0, "centre": None, "decay": 0.0},
    "with centre prior": {"motion": 0.0, "decay": 0.0},
    "with motion contrast": {"centre": None, "decay": 0.0},
    "with both": {"decay": 0.0},
    "spectral (with both, over time)": {},
}
STEP = 3  # every third row and column enters the ROC curve


class CentrePrior:
    """The same map for every frame: a Gaussian around the centre."""

    def maps(self, frames):
        for frame in frames:
            y, x = (torch.linspace(-1, 1, n) for n in frame.shape[1:])
            yield torch.exp(-2 * (y[:, None] ** 2 + x**2))[None]


def auc(q: NDArray, mask: NDArray) -> float:
    """Area under the ROC curve of one frame."""
    ranks, n = rankdata(q.ravel()), int(mask.sum())
    return (ranks[mask.ravel()].sum() - n * (n + 1) / 2) / (n * (mask.size - n))


def measure(source, frames: list[Tensor], masks: NDArray) -> tuple[float, float, float, float]:
    """AUC, mean inside, mean outside, milliseconds a frame."""
    start = time.process_time()
    maps = torch.cat(list(source.maps(iter(frames)))).numpy()
    cost = 1e3 * (time.process_time() - start) / len(frames)
    small = maps[:, ::STEP, ::STEP], masks[:, ::STEP, ::STEP]
    found = [auc(q, mask) for q, mask in zip(*small) if mask.any() and not mask.all()]
    return float(np.mean(found)), float(maps[masks].mean()), float(maps[~masks].mean()), cost


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=Path, nargs="?", help="without it nothing is run")
    parser.add_argument("--frames", type=int, default=40, help="of each scene (40)")
    parser.add_argument("--source", action="append", default=[], help="of configs/importance, besides spectral")
    args = parser.parse_args()
    if args.clips is None:
        print("nothing is run without CLIPS, a folder of clips with masks")
        return
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    sources = {"centre prior": CentrePrior()} | {k: load_source("spectral", **v) for k, v in VARIANTS.items()}
    sources |= {name: load_source(name) for name in args.source}
    scores: dict[str, dict[str, tuple]] = {name: {} for name in sources}
    for file in sorted(args.clips.glob("*.mask.mkv")):
        scene = file.name.removesuffix(".mask.mkv")
        frames = list(islice(open_video(args.clips / f"{scene}.mp4"), args.frames))
        masks = read_map(file, count=len(frames))[:, 0].numpy() >= 0.5
        for name, source in sources.items():
            scores[name][scene] = measure(source, frames, masks)
    for title, keep in (("scenes of the choice", True), ("other scenes", False)):
        some = [scene for scene in next(iter(scores.values())) if (scene in ON) == keep]
        if not some:
            continue
        print(f"{len(some)} {title:<29} {'AUC':>6} {'worst scene':>28} {'in':>6} {'out':>6} {'ms':>6}")
        for name, found in scores.items():
            mean = np.mean([found[scene] for scene in some], axis=0)
            worst = min(some, key=lambda scene: found[scene][0])
            low = f"{worst.removeprefix('davis-')} {found[worst][0]:.3f}"
            print(f"{name:<32} {mean[0]:6.3f} {low:>28} {mean[1]:6.3f} {mean[2]:6.3f} {mean[3]:6.1f}")


if __name__ == "__main__":
    main()
