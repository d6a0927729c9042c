"""A small clip, made ready for painting, a server of it, and a collection that was painted."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

from pvc.annotate.config import load_settings
from pvc.annotate.flow_bin import read_flow
from pvc.annotate.maps import paint, write_values
from pvc.annotate.store import Encode, Map, Participant, Session, Stroke, open_store, sqlite_url
from pvc.annotate.work import Work
from pvc.video import write_clip
from tests.processes import Command

FRAMES, HEIGHT, WIDTH, FPS = 24, 96, 160, Fraction(24)
SETTINGS = ["prepare.width=160", "prepare.height=96", "prepare.psnr=33", "codec.threads=1"]


def moving_clip(seed: int = 0, frames: int = FRAMES) -> torch.Tensor:
    """uint8 ``[T, 3, H, W]``: a textured disk goes right by 2 pixels a frame over a textured ground; some noise."""
    generator = np.random.default_rng(seed)
    ground, disk = (_texture(generator, *levels) for levels in ((20, 140), (90, 250)))
    clip = []
    for t in range(frames):
        inside = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
        cv2.circle(inside, (40 + 2 * t, 48), 22, 1, -1)
        picture = np.where(inside > 0, np.roll(disk, 2 * t, axis=1), ground) + generator.normal(0, 6, inside.shape)
        clip.append(torch.from_numpy(picture.round().clip(0, 255).astype(np.uint8)).permute(2, 0, 1))
    return torch.stack(clip).contiguous()


def _texture(generator: np.random.Generator, low: int, high: int) -> np.ndarray:
    noise = cv2.GaussianBlur(generator.integers(0, 256, (HEIGHT, WIDTH), np.uint8), (0, 0), 1.2)
    return cv2.normalize(noise, None, low, high, cv2.NORM_MINMAX)[..., None] * np.array([1.0, 0.9, 0.8])


def clips_folder(folder: Path, *names: str) -> Path:
    """A folder with a clip for each of the names."""
    folder.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        write_clip(folder / f"{name}.mkv", moving_clip(seed), FPS)
    return folder


def small_settings(*more: str):
    """The tool's settings for clips of that size."""
    return load_settings([*SETTINGS, *more])


@contextmanager
def serving(folder: Path, said: Path, *settings: str) -> Iterator[tuple[Command, str]]:
    """`pvc annotate serve` of the folder, and its URL."""
    arguments = ["annotate", "serve", str(folder), "--port", "0", "--set", *settings]
    with Command("pvc.cli", arguments, said) as server:
        server.until(lambda: re.search(r"http://\S+?:\d+/?\s", server.said))
        yield server, re.search(r"http://\S+?:\d+", server.said)[0]


def stroke(x: float, y: float, frame: int = 0, tool: str = "brush", radius: float = 6, to: tuple | None = None) -> dict:
    """A stroke of the log, from (x, y) to ``to``, in cells."""
    points = [[x, y, 0]] + ([[*to, 90]] if to else [])
    about = {"kind": "stroke", "tool": tool, "frame": frame, "radius": radius, "strength": 60}
    return {**about, "points": points, "t_ms": 0}


ON_DISK = [stroke(10, 12, 0, to=(11, 12)), stroke(14, 12, 8), stroke(18, 12, 16)]
"""What somebody paints for whom the disk matters."""


class Collection:
    """A collection in ``work``, into which sessions are put as the server does."""

    def __init__(self, work: Path, clips) -> None:
        self.work, self.clips = work, {clip.name: clip for clip in clips}
        self.sessions = open_store(sqlite_url(work))
        self._flow = {clip.name: read_flow(clip.folder / "flow.bin") for clip in clips}

    def participant(self, name: str) -> None:
        with self.sessions.begin() as db:
            db.add(Participant(id=name, cookie=name, worker=f"worker-{name}", code=name, joined=time.time()))

    def paint(self, name: str, participant: str, clip: str, log, *, seconds=240.0, finished=True, at=None) -> None:
        """A session whose map is saved after each item of ``log``, which come evenly over the time, or all ``at``."""
        began, grid = 1_700_000_000.0, self.clips[clip].grid
        folder = Work(self.work)
        folder.session(name).mkdir(parents=True)
        for number in range(1, len(log) + 1):
            write_values(folder.map(name, number), paint(log[:number], self._flow[clip], grid), FPS)
        with self.sessions.begin() as db:
            count = len(db.query(Session).filter_by(participant=participant).all())
            end = began + seconds if finished else None
            about = {"participant": participant, "clip": clip, "position": count + 1}
            db.add(Session(id=name, started=began, finished=end, **about))
            db.flush()
            for seq, item in enumerate(log, start=1):
                received = began + (seconds * seq / (len(log) + 1) if at is None else at)
                db.add(Stroke(session=name, seq=seq, received=received, item=item))
                db.add(Map(session=name, number=seq, strokes=seq, final=finished and seq == len(log), saved=received))
            if log:
                known = {"kbps": 100.0, "target_kbps": 100.0, "psnr": 30.0, "state": "done"}
                db.add(Encode(id=f"e-{name}", session=name, map=len(log), asked=began, ended=began + 1, **known))
