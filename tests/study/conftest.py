"""A small study of real files, and one without files for what needs none."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from sqlalchemy import event

from pvc.study.encodes import from_folders
from pvc.study.make import make
from pvc.study.plan import Pair, Rules, Side, Study
from pvc.study.store import open_store
from pvc.video import write_clip
from pvc.web.settings import load_settings

VIDEOS = ("one", "two", "three")


def write_encodes(
    folder: Path, seed: int = 0, frames: int = 15, suffix: str = ".mp4", videos=VIDEOS, **options
) -> Path:
    """A folder of encodes of moving noise, 96x64 at 25 frames a second."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    for video in videos:
        texture = torch.rand(1, 3, 16, 24, generator=generator) * 255
        ground = torch.nn.functional.interpolate(texture, (64, 96), mode="bicubic")[0].clamp(0, 255).to(torch.uint8)
        clip = torch.stack([ground.roll(2 * t, -1) for t in range(frames)])
        write_clip(folder / f"{video}{suffix}", clip, Fraction(25), **options)
    return folder


def settings(*overrides: str) -> dict:
    """Those of ``configs/study.yaml``, with overrides."""
    return OmegaConf.to_container(load_settings("study", overrides))


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Folder of a study of three videos and three sanity pairs, not to be written to."""
    root = tmp_path_factory.mktemp("made")
    folders = [
        ("importance", write_encodes(root / "a", options={"crf": "30"})),
        ("baseline", write_encodes(root / "b", options={"crf": "36"})),
    ]
    make(root / "study", from_folders(folders), settings(), title="three videos")
    return root / "study"


def paper_study(videos=10, sanity=3, codecs=("importance", "baseline"), id_="f" * 32, **more) -> Study:
    """A study as large as the paper's, of files that are not there."""
    about = {"width": 800, "height": 450, "fps": "30", "frames": 150}
    tests = [
        Pair(f"v{k}-{i}-{j}", f"video {k}", (Side(codecs[i], "", 300.0), Side(codecs[j], "", 300.0)), **about)
        for k in range(videos)
        for i in range(len(codecs))
        for j in range(i + 1, len(codecs))
    ]
    checks = [
        Pair(f"s{k}", f"video {k}", (Side("good", "", None), Side("bad", "", None)), **about, better="good")
        for k in range(sanity)
    ]
    rules = more.pop("rules", Rules())
    return Study(id_, "a study", "Which?", tuple(codecs), (*tests, *checks), rules=rules, **more)


def quick(sessions):
    """A database that does not wait for the disk, for hundreds of answers."""
    event.listen(sessions.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA synchronous=OFF"))
    return sessions


@pytest.fixture
def sessions(tmp_path):
    """An empty database."""
    opened = quick(open_store(tmp_path))
    yield opened
    opened.engine.dispose()
