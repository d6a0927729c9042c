"""Samples a second and core of the data pipeline, and of Perlin masks alone: ``python benchmarks/data_pipeline.py``.

Without arguments it makes its own small data sets in a temporary folder (synthetic scenes as Vimeo-90k PNGs and as a
folder of clips); ``--vimeo DIR`` and ``--clips DIR`` measure real ones. One process, one thread, so a number is what
one core gives; CPU time is measured, so other work on the machine does not count.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from pvc.data import CropDataset
from pvc.data.clips import ClipFolder
from pvc.data.synthetic import Synthetic
from pvc.data.vimeo90k import Vimeo90k
from pvc.importance import PerlinSettings, perlin_mask
from pvc.video import write_clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vimeo", type=Path, help="folder of Vimeo-90k septuplets")
    parser.add_argument("--clips", type=Path, help="folder of clips")
    parser.add_argument("--cache", default=None, help="folder of the decoded-frame cache (default: a temporary one)")
    parser.add_argument("--samples", type=int, default=200, help="samples a measurement")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        vimeo = args.vimeo or make_vimeo(Path(folder, "vimeo"))
        clips = args.clips or make_clips(Path(folder, "clips"))
        septuplets = Vimeo90k(vimeo).train()
        cached = ClipFolder(clips, cache=args.cache or Path(folder, "cache")).train()
        print("samples a second and core (T = 3)", "", "| measured | crop | samples/s | ms a sample |", sep="\n")
        print("| --- | --- | --- | --- |")
        for crop in (128, 256):
            perlin = np.random.default_rng(0)
            report("Perlin mask, binary", crop, args.samples, lambda _: perlin_mask((3, crop, crop), perlin))  # noqa: B023
            ramps = PerlinSettings(continuous=1.0)
            report(
                "Perlin mask, continuous",
                crop,
                args.samples,
                lambda _: perlin_mask((3, crop, crop), perlin, ramps),  # noqa: B023
            )
            report("clips, cached frames", crop, args.samples, CropDataset(cached, crop=crop).__getitem__)
            report("Vimeo-90k, PNG", crop, args.samples, CropDataset(septuplets, crop=crop).__getitem__)


def report(what: str, crop: int, samples: int, make: Callable[[int], object]) -> None:
    """Print one row of the table."""
    for i in range(10):
        make(i)
    start = time.process_time()
    for i in range(samples):
        make(i)
    each = (time.process_time() - start) / samples
    print(f"| {what} | {crop} | {1 / each:.0f} | {each * 1e3:.2f} |", flush=True)


def make_vimeo(root: Path, count: int = 8) -> Path:
    """Septuplets of 448x256 from synthetic scenes."""
    names = [f"00001/{i + 1:04d}" for i in range(count)]
    for name, scene in zip(names, Synthetic(frames=7, train_scenes=count).train(), strict=True):
        folder = root / "sequences" / name
        folder.mkdir(parents=True)
        for i, frame in enumerate(scene.read()):
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(folder / f"im{i + 1}.png")
    for file in ("sep_trainlist.txt", "sep_testlist.txt"):
        (root / file).write_text("\n".join(names))
    return root


def make_clips(root: Path, count: int = 6) -> Path:
    """Clips of 448x256 from synthetic scenes."""
    root.mkdir()
    for scene in Synthetic(frames=24, train_scenes=count).train():
        write_clip(root / f"{scene.name}.mp4", scene.read(), scene.fps)
    return root


if __name__ == "__main__":
    main()
