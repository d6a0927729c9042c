"""How far optical flow carries importance: masks of frame 0 propagated, against the true masks of later frames.

    python benchmarks/propagation.py CLIPS [--scenes NAME ...]

CLIPS is a folder of clips with masks (``NAME.mp4`` and ``NAME.mask.mkv``). A line of the table is the mean IoU (masks
cut at 0.5, without decay) over all scenes that have the frame, of: the mask kept where it was; flow with the parameters
of OpenCV's tutorial without check, as in the annotation paper; the same checked and mended by ``pvc.importance.flow``;
and both with a Gaussian window, the default. Last, milliseconds of processor time a frame.
"""

import argparse
import time
from pathlib import Path

import cv2
import torch
from torch import Tensor

from pvc.importance.flow import Farneback
from pvc.importance.propagate import Decay, propagate
from pvc.video import read_clip, read_map

AFTER = (10, 20, 40)
SETTINGS = {
    "tutorial": Farneback(check=False, gaussian=False),
    "tutorial, checked": Farneback(gaussian=False),
    "Gaussian": Farneback(check=False),
    "Gaussian, checked": Farneback(),
}


def iou(a: Tensor, b: Tensor) -> float:
    """Of two masks, cut at 0.5."""
    a, b = a >= 0.5, b >= 0.5
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=Path, nargs="?", help="without it nothing is run")
    parser.add_argument("--scenes", nargs="+", help="all with a mask, unless given")
    args = parser.parse_args()
    if args.clips is None:
        print("nothing is run without CLIPS, a folder of clips with masks")
        return
    cv2.setNumThreads(1)
    names = args.scenes or sorted(p.name.removesuffix(".mask.mkv") for p in args.clips.glob("*.mask.mkv"))
    found = {name: {t: [] for t in AFTER} for name in ["still", *SETTINGS]}
    cost = dict.fromkeys(SETTINGS, 0.0)
    frames = 0
    for scene in names:
        masks = read_map(args.clips / f"{scene}.mask.mkv")[: AFTER[-1] + 1]
        clip = read_clip(args.clips / f"{scene}.mp4")[: len(masks)]
        frames += len(clip) - 1
        there = [t for t in AFTER if t < len(masks)]
        for t in there:
            found["still"][t].append(iou(masks[0], masks[t]))
        for name, farneback in SETTINGS.items():
            start = time.process_time()
            maps = list(propagate((masks[0] >= 0.5).float(), farneback.flows(clip), Decay(AFTER[-1], 1.0)))
            cost[name] += time.process_time() - start
            for t in there:
                found[name][t].append(iou(maps[t - 1], masks[t]))
    print(f"{len(names)} scenes\n\n| frames after | " + " | ".join(found) + " |\n|" + "---|" * (1 + len(found)))
    for t in AFTER:
        means = [torch.tensor(by[t]).mean() for by in found.values()]
        print(f"| {t} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    print("| ms a frame | - | " + " | ".join(f"{1000 * seconds / frames:.0f}" for seconds in cost.values()) + " |")


if __name__ == "__main__":
    main()
