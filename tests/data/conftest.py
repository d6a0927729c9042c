"""Small data sets in the layouts that the sources read."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pvc.video import write_clip, write_map


def noise_clip(seed: int, frames: int = 6, height: int = 48, width: int = 64) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (frames, 3, height, width), dtype=np.uint8))


def square_mask(frames: int = 6, height: int = 48, width: int = 64) -> torch.Tensor:
    mask = torch.zeros(frames, 1, height, width)
    mask[:, :, 8:24, 16:40] = 1
    return mask


def write_pictures(folder: Path, clip: torch.Tensor, name: str = "{:05d}.png", first: int = 0) -> None:
    folder.mkdir(parents=True)
    for i, frame in enumerate(clip):
        Image.fromarray(frame.permute(1, 2, 0).numpy()).save(folder / name.format(i + first))


@pytest.fixture
def clip_folder(tmp_path) -> Path:
    """Six clips as lossless mkv, ``a`` to ``f``; ``a`` and ``b`` have masks, ``f`` is a folder of frames."""
    root = tmp_path / "clips"
    root.mkdir()
    for seed, name in enumerate("abcde"):
        write_clip(root / f"{name}.mkv", noise_clip(seed), Fraction(25))
    for name in "ab":
        write_map(root / f"{name}.mask.mkv", square_mask(), Fraction(25))
    write_pictures(root / "f", noise_clip(5))
    return root


@pytest.fixture
def vimeo_folder(tmp_path) -> Path:
    """Four septuplets to train on and two to test."""
    root = tmp_path / "vimeo"
    for seed, name in enumerate(["00001/0001", "00001/0002", "00001/0003", "00002/0001", "00002/0002", "00002/0003"]):
        write_pictures(root / "sequences" / name, noise_clip(seed, frames=7), "im{}.png", first=1)
    (root / "sep_trainlist.txt").write_text("00001/0001\n00001/0002\n00001/0003\n00002/0001\n")
    (root / "sep_testlist.txt").write_text("00002/0002\n00002/0003\n\n")
    return root


@pytest.fixture
def davis_folder(tmp_path) -> Path:
    """Two sequences with two numbered objects, and lists in the layouts of both years."""
    root = tmp_path / "davis"
    index = np.zeros((48, 64), np.uint8)
    index[4:12, 4:12], index[20:30, 20:40] = 1, 2
    for seed, name in enumerate(["swan", "goat"]):
        write_pictures(root / "JPEGImages" / "480p" / name, noise_clip(seed, frames=4), "{:05d}.jpg")
        folder = root / "Annotations" / "480p" / name
        folder.mkdir(parents=True)
        for i in range(4):
            image = Image.fromarray(index, "P")
            image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
            image.save(folder / f"{i:05d}.png")
    for year in ("2016", "2017"):
        (root / "ImageSets" / year).mkdir(parents=True)
    (root / "ImageSets" / "2017" / "train.txt").write_text("swan\n")
    (root / "ImageSets" / "2017" / "val.txt").write_text("goat\n")
    (root / "ImageSets" / "2016" / "val.txt").write_text("swan\ngoat\n")
    return root
