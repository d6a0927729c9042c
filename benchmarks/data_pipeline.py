"""Clips a second and core of the data pipeline against PIL loaders: ``python benchmarks/data_pipeline.py``.

Without arguments it makes its own small data sets in a temporary folder (synthetic scenes as Vimeo-90k PNGs and as a
folder of clips); ``--vimeo DIR`` and ``--clips DIR`` measure real ones. All loaders take turns in one process with one
thread, so a number is what one core gives; CPU time is measured and the best of several rounds taken, so that other
work on the machine hardly counts. ``--workers N`` measures what a batch's way between the processes costs as well.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from compressai.datasets import VideoFolder
from PIL import Image
from torchvision.transforms import Compose, RandomCrop, ToTensor

from pvc.data import CropDataset
from pvc.data.clips import ClipFolder
from pvc.data.loader import ClipLoader
from pvc.data.shard_writer import PackWriter
from pvc.data.shards import Shards
from pvc.data.synthetic import Synthetic
from pvc.data.vimeo90k import Vimeo90k
from pvc.importance import perlin_mask
from pvc.memory import keep_freed_memory
from pvc.video import write_clip

Load = Callable[[int], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vimeo", type=Path, help="folder of Vimeo-90k septuplets")
    parser.add_argument("--clips", type=Path, help="folder of clips")
    parser.add_argument("--cache", default=None, help="folder of the decoded-frame cache (default: a temporary one)")
    parser.add_argument("--samples", type=int, default=40, help="samples a round")
    parser.add_argument("--rounds", type=int, default=7, help="of which the best counts")
    parser.add_argument("--workers", type=int, default=0, help="also with so many loading processes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()  # as a worker of pvc does; the PIL loaders profit too
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vimeo = args.vimeo or make_vimeo(folder / "vimeo")
        clips = ClipFolder(args.clips or make_clips(folder / "clips"), cache=args.cache or folder / "cache").train()
        septuplets = Vimeo90k(vimeo).train()
        packs = {coding: make_pack(folder / coding, septuplets, coding) for coding in ("png", "raw")}
        print("| loader, T = 3 | crop | clips a second and core | ms a clip | CompressAI's time / this |")
        print("| --- | --- | --- | --- | --- |")
        for crop in (128, 256):
            sets = {
                "PNG by PIL, all seven": PilSeptuplets(septuplets, crop, 7),
                "PNG by PIL, three": PilSeptuplets(septuplets, crop, 3),
                "CompressAI VideoFolder": compressai_folder(folder / f"view-{crop}", vimeo, crop),
                "pvc, PNG": CropDataset(septuplets, crop=crop),
                "pvc, shards, png": CropDataset(packs["png"], crop=crop),
                "pvc, shards, raw": CropDataset(packs["raw"], crop=crop),
                "pvc, clips, cached frames": CropDataset(clips, crop=crop),
            }
            noise = np.random.default_rng(0)
            loads: dict[str, Load] = {name: cyclic(data) for name, data in sets.items()}
            loads["Perlin mask alone"] = lambda _: perlin_mask((3, crop, crop), noise)  # noqa: B023
            times = interleaved(loads, args.samples, args.rounds)
            for name, each in times.items():
                ratio = times["CompressAI VideoFolder"] / each
                print(f"| {name} | {crop} | {1 / each:.0f} | {each * 1e3:.2f} | {ratio:.1f} |", flush=True)
            if args.workers:
                transfer(sets, crop, args.workers)


class PilSeptuplets(torch.utils.data.Dataset):
    """What one writes first: open pictures by PIL, make tensors, crop. No map is made."""

    def __init__(self, septuplets: list, crop: int, frames: int) -> None:
        self.files = [[s.frame_file(i) for i in range(frames)] for s in septuplets]
        self.crop = crop

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        frames = np.stack([np.array(Image.open(file).convert("RGB")) for file in self.files[index]])
        top, left = (random.randrange(size - self.crop + 1) for size in frames.shape[1:3])
        clip = torch.from_numpy(frames).permute(0, 3, 1, 2)[:3, :, top : top + self.crop, left : left + self.crop]
        return clip.float() / 255


def compressai_folder(view: Path, vimeo: Path, crop: int) -> VideoFolder:
    """CompressAI's own class with the transforms of its example for video, on the same files."""
    view.mkdir()
    (view / "sequences").symlink_to((vimeo / "sequences").absolute())
    (view / "train.list").write_text((vimeo / "sep_trainlist.txt").read_text().strip())
    return VideoFolder(str(view), transform=Compose([ToTensor(), RandomCrop(crop)]))


def cyclic(data: Any) -> Load:
    """Samples of a data set that ends, or of one of pvc's, which do not."""
    return data.__getitem__ if isinstance(data, CropDataset) else lambda i: data[i % len(data)]


def interleaved(loads: dict[str, Load], samples: int, rounds: int) -> dict[str, float]:
    """Seconds of CPU time of each, the best of ``rounds`` in which all take their turn."""
    best = dict.fromkeys(loads, float("inf"))
    for turn in range(rounds + 1):  # the first is to warm up
        for name, load in loads.items():
            start = time.process_time()
            for i in range(samples):
                load(i)
            if turn:
                best[name] = min(best[name], (time.process_time() - start) / samples)
    return best


def transfer(sets: dict[str, Any], crop: int, workers: int, batches: int = 12, size: int = 8) -> None:
    """What the main process spends on taking over a batch that its workers have made."""
    for name, data in sets.items():
        indices = [i if isinstance(data, CropDataset) else i % len(data) for i in range(batches * size)]
        loader = iter(ClipLoader(data, size, sampler=indices, num_workers=workers))
        batch = next(loader)
        parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, list | tuple) else [batch]
        amount = sum(p.numel() * p.element_size() for p in parts if isinstance(p, torch.Tensor))
        start = time.process_time()
        for _ in loader:
            pass
        each = (time.process_time() - start) / (batches - 1)
        print(
            f"| {name}, batch of {size} from {workers} workers | {crop} | {amount / 1e6:.1f} MB | {each * 1e3:.2f} | |"
        )


def make_pack(out: Path, sequences: list, coding: str, shard: float = 512e6) -> list:
    """The data set in shards."""
    writer = PackWriter(out, sequences, {"train": list(range(len(sequences)))}, coding, shard)
    out.mkdir()
    writer.begin()
    for number in range(len(writer.shards)):
        writer.store(number)
    writer.finish()
    return Shards(out).train()


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
