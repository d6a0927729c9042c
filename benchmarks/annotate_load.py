"""Many people painting at once: requests, errors, lost strokes, how long things take.

    python benchmarks/annotate_load.py [CLIPS] [--participants 20] [--seconds 30] [--database URL]

Starts ``pvc annotate serve`` over CLIPS (without it two clips of 5 seconds at 800x450 that it makes itself) and lets so
many participants paint by HTTP, each with connections of its own: a burst of one to four strokes, each sent at once and
followed by the map; then the encode is waited for by long poll (15 seconds at most), its video is loaded, and the next
burst begins. At the end everybody finishes, the server is stopped, and what it acknowledged is looked for in its
database and folder. ``lost`` counts what is not there as it was sent; ``errors`` every answer that is none of 2xx, and
every broken connection. Everything runs with SQLite and then, with ``--database``, with that (empty) PostgreSQL
database. Server, encoders and painters share this machine's cores.
"""

import argparse
import asyncio
import gzip
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path

import cv2
import httpx2
import numpy as np
import torch

from pvc.annotate.records import open_collection, read_painted
from pvc.video import VideoWriter

Seconds = defaultdict[str, list[float]]


def make_clips(folder: Path) -> None:
    """Two clips of 5 seconds: a textured disk over a textured ground that pans."""
    folder.mkdir(parents=True)
    for seed in range(2):
        noise = np.random.default_rng(seed)
        ground, disk = (cv2.GaussianBlur(noise.integers(0, 256, (450, 1400, 3), np.uint8), (0, 0), s) for s in (3, 2))
        ground, disk = (
            cv2.normalize(p, None, *r, cv2.NORM_MINMAX) for p, r in ((ground, (20, 140)), (disk, (90, 250)))
        )
        with VideoWriter(folder / f"clip{seed}.mkv", width=800, height=450, fps=Fraction(30)) as writer:
            for t in range(150):
                inside = np.zeros((450, 800), np.uint8)
                cv2.circle(inside, (150 + 3 * t, 225), 90, 1, -1)
                picture = np.where(inside[..., None] > 0, disk[:, :800], ground[:, 2 * t : 2 * t + 800])
                writer.write(torch.from_numpy(picture).permute(2, 0, 1).contiguous())


def painted_maps(frames: int, height: int, width: int) -> list[bytes]:
    """Some maps as the page sends them."""
    rows, columns = np.mgrid[:height, :width]
    maps = []
    for seed in range(4):
        x, y = random.Random(seed).uniform(0.2, 0.8) * width, height / 2
        planes = [
            127 + 100 * np.exp(-(((columns - x - t / 4) / 20) ** 2) - ((rows - y) / 15) ** 2) for t in range(frames)
        ]
        maps.append(gzip.compress(np.stack(planes).astype(np.uint8).tobytes(), 6))
    return maps


class Painter:
    """One participant. ``sent``: each session's items that were acknowledged; ``maps``: how many of them were."""

    def __init__(self, url: str, number: int, until: float, took: Seconds, errors: Counter) -> None:
        self._client = httpx2.AsyncClient(base_url=url, headers={"X-PVC": "1", "Origin": url.rstrip("/")}, timeout=120)
        self._random, self._until, self._took, self._errors = random.Random(number), until, took, errors
        self._maps: dict[str, list[bytes]] = {}
        self.sent: dict[str, list[dict]] = {}
        self.maps: Counter = Counter()
        self.encodes: Counter = Counter()

    async def _ask(self, kind: str, method: str, path: str, **more):
        start = time.perf_counter()
        try:
            answer = await self._client.request(method, path, **more)
        except httpx2.HTTPError as error:
            self._errors[f"{kind}: {type(error).__name__}"] += 1
            return None
        self._took[kind].append(time.perf_counter() - start)
        if answer.status_code // 100 != 2:
            self._errors[f"{kind}: {answer.status_code} {answer.text[:100]}"] += 1
            return None
        return answer

    async def paint(self) -> None:
        """Join, paint until the time is over, finish all clips."""
        async with self._client:
            await asyncio.sleep(self._random.uniform(0, 2))
            state = (await self._ask("join", "POST", "/api/join", json={})).json()
            while state["session"] is not None:
                state = await self._paint_clip(state["session"])

    async def _paint_clip(self, session: dict) -> dict:
        path, clip = f"/api/sessions/{session['id']}", session["clip"]
        shape = clip["frames"], clip["map"]["height"], clip["map"]["width"]
        maps = self._maps.setdefault(clip["name"], await asyncio.to_thread(painted_maps, *shape))
        log = self.sent[session["id"]] = []
        for name in ("source.mp4", "baseline.mp4", "flow.bin", "edges/0.png"):
            await self._ask("file", "GET", f"{path}/clip/{name}")
        while time.monotonic() < self._until:
            encode = None
            for _ in range(self._random.randint(1, 4)):
                await asyncio.sleep(self._random.uniform(0.5, 1.5))
                await self._stroke(path, log, shape)
                await asyncio.sleep(0.35)
                answer = await self._map("map", f"{path}/encodes?strokes={len(log)}", self._random.choice(maps))
                if answer is not None:
                    self.maps[session["id"]] += 1
                    encode = answer.json()["encode"]
            if encode:
                await self._watch(f"{path}/encodes/{encode}")
        answer = await self._map("finish", f"{path}/finish?strokes={len(log)}", maps[0])
        self.maps[session["id"]] += answer is not None
        return {"session": None} if answer is None else answer.json()

    async def _stroke(self, path: str, log: list, shape: tuple) -> None:
        x, y = self._random.uniform(0, shape[2]), self._random.uniform(0, shape[1])
        points = [[round(x + k / 2, 2), round(y + k / 3, 2), 16 * k] for k in range(60)]
        about = {"kind": "stroke", "tool": "brush", "frame": self._random.randrange(shape[0]), "radius": 10.0}
        item = {**about, "strength": 60.0, "points": points, "t_ms": 1000.0 * len(log)}
        if await self._ask("stroke", "POST", f"{path}/strokes", json={"first": len(log) + 1, "items": [item]}):
            log.append(item)

    async def _map(self, kind: str, path: str, body: bytes):
        headers = {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}
        return await self._ask(kind, "POST", path, content=body, headers=headers)

    async def _watch(self, path: str) -> None:
        start, seen = time.perf_counter(), -1
        while time.perf_counter() - start < 15:
            answer = await self._ask("poll", "GET", path, params={"seen": seen, "wait": 20})
            if answer is None:
                return
            facts = answer.json()
            seen = facts["version"]
            if facts["state"] in ("done", "failed", "cancelled"):
                self.encodes[facts["state"]] += 1
                if facts["state"] == "done":
                    self._took["encode seen"].append(time.perf_counter() - start)
                    await self._ask("video", "GET", f"{path}/video.mp4")
                return


def serve(clips: Path, work: Path, database: str | None) -> tuple[subprocess.Popen, str]:
    """The server, when it listens, and its URL."""
    command = [sys.executable, "-m", "pvc.cli", "annotate", "serve", str(clips), "--out", str(work), "--port", "0"]
    command += ["--database", database] if database else []
    server = subprocess.Popen(
        [*command, "--set", "session.minimum_seconds=0", "session.clips=1"], stdout=subprocess.PIPE, text=True
    )
    line = server.stdout.readline()
    if not (url := re.search(r"http://\S+", line)):
        raise SystemExit("the server did not start")
    return server, url[0]


def lost(work: Path, database: str | None, painters: list[Painter]) -> tuple[int, int]:
    """Strokes and maps that were acknowledged but are not there, or not as they were sent."""
    sessions = open_collection(work, database)
    there = {one.id: one for one in read_painted(work, sessions)}
    sessions.engine.dispose()
    strokes = maps = 0
    for painter in painters:
        for session, log in painter.sent.items():
            stored = list(there[session].log)
            strokes += sum(item not in stored for item in log)
            maps += max(0, painter.maps[session] - sum(file.stat().st_size > 0 for file in there[session].maps))
            there[session].values()  # the last one can be read
    return strokes, maps


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=Path, nargs="?")
    parser.add_argument("--participants", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--database")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the prepared clips there, for the next run")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pvc-load-") as name:
        folder = Path(name)
        kept = args.keep or folder
        clips = args.clips or kept / "clips"
        if not clips.is_dir():
            make_clips(clips)
        pvc = [sys.executable, "-m", "pvc.cli"]
        command = [*pvc, "annotate", "prepare", str(clips), "--out", str(kept / "prepared")]
        subprocess.run(command, check=True, stdout=sys.stderr)
        for number, database in enumerate([None, *([args.database] if args.database else [])]):
            work = folder / f"work{number}"
            shutil.copytree(kept / "prepared" / "clips", work / "clips")
            print(f"\n{database.partition(':')[0] if database else 'sqlite'}")
            load(clips, work, database, args)


def load(clips: Path, work: Path, database: str | None, args: argparse.Namespace) -> None:
    """Let them paint, and say what came of it."""
    server, url = serve(clips, work, database)
    took: Seconds = defaultdict(list)
    errors: Counter = Counter()
    try:
        until = time.monotonic() + args.seconds
        painters = [Painter(url, k, until, took, errors) for k in range(args.participants)]

        async def all_of_them() -> None:
            await asyncio.gather(*(painter.paint() for painter in painters))

        asyncio.run(all_of_them())
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
    strokes, maps = lost(work, database, painters)
    sent = sum(len(log) for painter in painters for log in painter.sent.values())
    print(f"{'request':12}{'count':>8}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for kind, values in took.items():
        low, middle, high = (1000 * np.percentile(values, p) for p in (50, 95, 99))
        print(f"{kind:12}{len(values):8d}{low:9.0f}{middle:9.0f}{high:9.0f}{1000 * max(values):9.0f}")
    encodes = sum((painter.encodes for painter in painters), Counter())
    requests = sum(len(values) for kind, values in took.items() if kind != "encode seen")
    print(f"{args.participants} participants, {args.seconds:g} s: {requests} requests, {sum(errors.values())} errors")
    print(
        f"{sent} strokes acknowledged, {strokes} lost; {sum(sum(p.maps.values()) for p in painters)} maps, {maps} lost"
    )
    print(f"encodes waited for: {dict(encodes)}; server ended with {server.returncode}", flush=True)
    for error, count in errors.most_common():
        print(f"{count:6d} x {error}")


if __name__ == "__main__":
    main()
