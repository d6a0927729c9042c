"""A server killed with SIGKILL while people paint: what it acknowledged is there after the next start."""

import gzip
import signal
import threading
import time
from contextlib import ExitStack
from itertools import count

import httpx2
import numpy as np
import pytest

from pvc.annotate.maps import read_values
from pvc.annotate.prepare import prepare
from pvc.annotate.records import open_collection, read_painted
from pvc.annotate.work import Work
from tests.annotate.painting import SETTINGS, clips_folder, serving, small_settings, stroke
from tests.processes import LONGEST, run

pytestmark = pytest.mark.slow
PAINTERS, ENOUGH = 3, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = clips_folder(tmp_path_factory.mktemp("killed"), "disk")
    prepare(folder, folder / "annotations", small_settings(), jobs=1)
    return folder


@pytest.fixture
def start(folder, tmp_path):
    """Starts a server of the folder; gives the process and its URL."""
    settings = [*SETTINGS, "queue.workers=1", "session.minimum_seconds=0"]
    with ExitStack() as stack:
        names = (tmp_path / f"server-{n}" for n in count())
        yield lambda: stack.enter_context(serving(folder, next(names), *settings))


class Painter(threading.Thread):
    """Sends strokes and maps as fast as they are acknowledged, until the server is gone."""

    def __init__(self, url, enough):
        super().__init__(daemon=True)
        self.http = httpx2.Client(base_url=url, headers={"X-PVC": "1", "Origin": url}, timeout=60)
        self.strokes, self.maps, self.enough = [], [], enough
        self.session = self.http.post("/api/join", json={}).json()["session"]

    def run(self):
        clip = self.session["clip"]
        path, shape = (
            f"/api/sessions/{self.session['id']}",
            (clip["frames"], clip["map"]["height"], clip["map"]["width"]),
        )
        try:
            while True:
                item = stroke(len(self.strokes) % 40 + 0.25, 12, frame=len(self.strokes) % clip["frames"])
                body = {"first": len(self.strokes) + 1, "items": [item]}
                self.http.post(f"{path}/strokes", json=body).raise_for_status()
                self.strokes.append(item)
                values = np.full(shape, len(self.strokes) % 256, np.uint8)
                packed = gzip.compress(values.tobytes())
                answer = self.http.post(f"{path}/encodes?strokes={len(self.strokes)}", content=packed)
                self.maps.append((answer.raise_for_status().json()["encode"], values))
                if len(self.maps) == ENOUGH:
                    self.enough.release()
        except httpx2.HTTPError:
            pass  # it was killed


def test_nothing_that_was_acknowledged_is_lost_and_the_newest_encode_is_taken_up(folder, start):
    server, url = start()
    enough = threading.Semaphore(0)
    painters = [Painter(url, enough) for _ in range(PAINTERS)]
    for painter in painters:
        painter.start()
    for _ in painters:
        assert enough.acquire(timeout=120)
    server.send(signal.SIGKILL)  # in the middle of whatever they are sending
    for painter in painters:
        painter.join(LONGEST)
        assert not painter.is_alive()
    server.code()

    server, url = start()
    for painter in painters:
        cookies = dict(painter.http.cookies)
        again = httpx2.Client(base_url=url, headers={"X-PVC": "1", "Origin": url}, cookies=cookies, timeout=60)
        state = again.get("/api/state").json()
        path = f"/api/sessions/{painter.session['id']}"
        assert state["session"]["id"] == painter.session["id"]
        stored = again.get(f"{path}/strokes").json()["items"]
        assert stored[: len(painter.strokes)] == painter.strokes
        assert len(stored) <= len(painter.strokes) + 1  # the one that was stored but not yet answered for
        newest, seen, facts = state["session"]["encode"], -1, {}
        deadline = time.monotonic() + LONGEST
        while facts.get("state") not in ("done", "failed"):
            assert time.monotonic() < deadline, facts
            facts = again.get(f"{path}/encodes/{newest}", params={"seen": seen, "wait": 20}).json()
            seen = facts["version"]
        assert facts["state"] == "done"
        assert again.get(f"{path}/encodes/{newest}/video.mp4").status_code == 200
        for encode, _ in painter.maps[:-1]:
            assert again.get(f"{path}/encodes/{encode}").json()["state"] in ("cancelled", "done")
    server.send(signal.SIGINT)
    assert server.code() == 0, server.said

    sessions = open_collection(folder / "annotations")
    there = {one.id: one for one in read_painted(folder / "annotations", sessions)}
    sessions.engine.dispose()
    for painter in painters:
        one = there[painter.session["id"]]
        maps = {row["id"]: one.maps[row["map"] - 1] for row in one.encodes}
        for encode, values in painter.maps:
            assert np.array_equal(read_values(maps[encode], values.shape), values)
    assert not list((folder / "annotations" / "sessions").rglob(".*"))  # nothing half-written stays


def test_a_second_server_on_the_same_folder_is_refused_in_one_line(folder):
    with Work(folder / "annotations").alone():
        second = run("pvc.cli", "annotate", "serve", str(folder), "--port", "0")
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1 and "is served or prepared by another pvc" in second.stderr
