"""One clip made ready for painting: scaled, cut, its edges and flow found, its baseline coded."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from pvc.annotate.baseline import Trial, write_baseline
from pvc.annotate.clip import FACTS, Clip
from pvc.annotate.coders import check_coder
from pvc.annotate.flow_bin import steps, write_flow
from pvc.annotate.movies import pictures_of, write_playable
from pvc.annotate.source import write_edges, write_source
from pvc.errors import ConfigError
from pvc.importance import ALPHA_MAX
from pvc.importance.flow import Farneback
from pvc.importance.propagate import Decay
from pvc.video import VideoReader

Step = Callable[[float], None]
MAKING = "making.json"
"""What is being prepared in a folder: whoever finds the same goes on with the files that are there."""
FAR = 0.3  # dB that the baseline may miss before it is said
_CRF = 12  # of source.mp4
_SHARES = {"source": 0.1, "flow": 0.35, "edges": 0.4}  # of the time, when each is done


def prepare_clip(
    path: Path, name: str, work: Path, settings: Mapping[str, Any], step: Step = lambda share: None
) -> Clip:
    """The clip in ``path`` ready for painting in ``work/clips/name``; made if it is not there with these settings.

    Args:
        settings: ``prepare``, ``codec`` and ``propagate`` of ``configs/annotate.yaml``. step: is told the share done.

    Raises:
        ConfigError: people have painted in ``work`` with other settings.
        VideoError: the clip cannot be read, or its baseline cannot be coded.
    """
    folder, made_from = work / "clips" / name, {"clip": _fingerprint(path), **settings}
    if (folder / FACTS).is_file() and (found := Clip.load(folder)).made_from == made_from:
        return found
    _start(folder, made_from, work)
    asked = settings["prepare"]
    step(0.0)
    fps, count, (height, width) = write_source(path, folder, asked)
    source = folder / "source.mkv"
    if not (folder / "source.mp4").is_file():
        write_playable(folder / "source.mp4", pictures_of(source), fps, _CRF)
    step(_SHARES["source"])
    grid = ceil(height / asked["map_scale"]), ceil(width / asked["map_scale"])
    if not (folder / "flow.bin").is_file():
        with VideoReader(source) as frames:
            told = _told(frames, count, step, _SHARES["source"], _SHARES["flow"])
            write_flow(folder / "flow.bin", count - 1, grid, steps(told, Farneback(**asked["flow"]), grid))
    if not (folder / "edges").is_dir():
        write_edges(source, folder, asked["edges"])
    step(_SHARES["edges"])
    baseline, error = write_baseline(
        folder, settings, fps, (count, *grid), lambda share: step(_SHARES["edges"] + (1 - _SHARES["edges"]) * share)
    )
    with (folder / ".baseline-error.partial").open("wb") as file:
        np.save(file, error)
    (folder / ".baseline-error.partial").replace(folder / "baseline-error.npy")
    clip = Clip(
        folder=folder,
        name=name,
        width=width,
        height=height,
        frames=count,
        fps=(fps.numerator, fps.denominator),
        map={"width": grid[1], "height": grid[0]},
        target_kbps=baseline.kbps,
        asked_kbps=baseline.asked,
        baseline={
            "kbps": baseline.kbps,
            "psnr": baseline.psnr,
            "reached": _reached(baseline, settings),
            "stream": baseline.coded.stream.name,
        },
        codec=dict(settings["codec"]),
        propagate=dict(settings["propagate"]),
        made_from=made_from,
    )
    clip.save()
    (folder / MAKING).unlink()
    step(1.0)
    return clip


def _reached(baseline: Trial, settings: Mapping[str, Any]) -> bool:
    """Whether the baseline is what was asked for."""
    asked = settings["prepare"]
    if asked["kbps"] is not None:
        return abs(baseline.kbps / asked["kbps"] - 1) <= settings["codec"]["tolerance"]
    return abs(baseline.psnr - asked["psnr"]) <= FAR


def plain(settings: DictConfig) -> dict[str, Any]:
    """The part of the settings that decides what a prepared clip is."""
    every = OmegaConf.to_container(settings, resolve=True)
    return {key: every[key] for key in ("prepare", "codec", "propagate")}


_RANGES = {
    "prepare.width": (64, 4096),
    "prepare.height": (64, 4096),
    "prepare.seconds": (0.1, 60),
    "prepare.psnr": (15, 50),
    "prepare.kbps": (1, 100_000),
    "prepare.map_scale": (1, 16),
    "prepare.edges.low": (0, 255),
    "prepare.edges.high": (0, 255),
    "codec.threads": (1, 64),
    "codec.tolerance": (0.005, 0.1),
    "codec.alpha": (1, ALPHA_MAX),
}


def check(settings: DictConfig) -> None:
    """Make sure that clips can be prepared with ``settings``. Raises ``ConfigError``."""
    for key, (low, high) in _RANGES.items():
        value = OmegaConf.select(settings, key)
        if value is None and key == "prepare.kbps":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ConfigError(f"{key}={value} is not a number from {low} to {high}")
    Farneback(**settings.prepare.flow)
    Decay(**settings.propagate)
    check_coder(settings.codec)


def _fingerprint(path: Path) -> dict[str, str]:
    """The clip by its name and content; of a folder of pictures, by all of them."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return {"name": path.name, "sha256": digest.hexdigest()}


def _start(folder: Path, made_from: dict[str, Any], work: Path) -> None:
    """An empty folder, or one with what an interrupted preparation of the same has left."""
    making = folder / MAKING
    try:
        if making.is_file() and json.loads(making.read_text(encoding="utf-8")) == made_from:
            return
    except ValueError:
        pass  # cut short itself
    if (folder / FACTS).is_file() and any((work / "sessions").glob("*")):
        raise ConfigError(
            f"{work} holds what people painted over another version of clip {folder.name} (its file, or the settings, "
            "have changed); give another --out, or the old file and settings"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    making.write_text(json.dumps(made_from), encoding="utf-8")


def _told(frames: VideoReader, count: int, step: Step, low: float, high: float) -> Iterator[Tensor]:
    for t, frame in enumerate(frames):
        step(low + (high - low) * t / count)
        yield frame
