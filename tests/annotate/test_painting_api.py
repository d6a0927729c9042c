"""The server as the page uses it, with a real clip and real encodes; and as somebody uses it who means no good."""

import errno
import gzip
import io
import zipfile
import zlib
from math import prod

import numpy as np
import pytest
from fastapi.testclient import TestClient

from pvc.annotate import saving
from pvc.annotate.app import annotate_app
from pvc.annotate.collection import Collection
from pvc.annotate.maps import read_values
from pvc.annotate.prepare import prepare
from pvc.annotate.store import open_store, sqlite_url
from pvc.annotate.work import Work
from pvc.errors import VideoError
from tests.annotate.painting import clips_folder, small_settings, stroke

URL = "http://localhost:8000"
OWN = {"X-PVC": "1", "Origin": URL}
ADMIN = {"Authorization": "Bearer t0ken"}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A collection of two clips, and what opens a browser on it."""
    folder = clips_folder(tmp_path_factory.mktemp("served"), "disk", "other")
    work = Work(folder / "annotations")
    settings = small_settings("session.minimum_seconds=0", "queue.workers=1")
    with work.alone():
        sessions = open_store(sqlite_url(work.folder))
        id = work.claim(sessions)
        clips = {clip.name: clip for clip in prepare(folder, work.folder, settings, jobs=1)}
        collection = Collection(work, sessions, clips, settings)
        app = annotate_app(collection, id, settings.validate, token="t0ken", hosts=["localhost"])
        with TestClient(app, base_url=URL) as first:  # runs until the last test

            def browser() -> TestClient:
                """One with cookies of its own, on the same event loop, as on a server."""
                client = TestClient(app, base_url=URL, headers=OWN)
                client.portal = first.portal
                return client

            yield collection, browser
    sessions.engine.dispose()


class Painter:
    """A participant with a browser of their own."""

    def __init__(self, browser, **join):
        self.http = browser()
        self.state = self.http.post("/api/join", json=join).json()

    @property
    def path(self):
        return f"/api/sessions/{self.state['session']['id']}"

    @property
    def shape(self):
        clip = self.state["session"]["clip"]
        return clip["frames"], clip["map"]["height"], clip["map"]["width"]

    def map(self, seed=0):
        """A map of this clip, brighter on the left."""
        values = np.full(self.shape, 117, np.uint8)
        values[:, :, : self.shape[2] // 2] = 137 + seed
        return values

    def post_map(self, what, strokes, values):
        body = values if isinstance(values, bytes) else gzip.compress(values.tobytes())
        return self.http.post(f"{self.path}/{what}?strokes={strokes}", content=body)

    def paint(self, count=1):
        first = self.http.get("/api/state").json()["session"]["strokes"] + 1
        items = [stroke(10, 12, frame=n) for n in range(count)]
        return self.http.post(f"{self.path}/strokes", json={"first": first, "items": items})

    def until_done(self, encode):
        facts, seen = {}, -1
        while facts.get("state") not in ("done", "failed", "cancelled"):
            facts = self.http.get(f"{self.path}/encodes/{encode}", params={"seen": seen, "wait": 20}).json()
            assert facts["version"] != seen or facts["state"] in ("queued", "running")
            seen = facts["version"]
        return facts


@pytest.fixture
def painter(served):
    return Painter(served[1])


@pytest.mark.slow
def test_a_participant_paints_every_clip_and_gets_a_code(served, painter):
    for done in range(2):
        assert painter.state["clips"] == {"done": done, "total": 2}
        session = painter.state["session"]
        assert painter.paint(3).json() == {"stored": 3}
        encode = painter.post_map("encodes", 3, painter.map())
        assert encode.status_code == 202
        facts = painter.until_done(encode.json()["encode"])
        assert facts["state"] == "done" and facts["strokes"] == 3
        assert (
            abs(facts["kbps"] / session["clip"]["target_kbps"] - 1) < 0.05
        )  # a clip of a second; 2 % is for real ones
        assert facts["gain_painted"] > 0 > facts["gain_elsewhere"]
        video = painter.http.get(f"{painter.path}/encodes/{facts['id']}/video.mp4")
        assert video.headers["content-type"] == "video/mp4" and len(video.content) > 1000
        assert painter.post_map("encodes", 3, painter.map(9)).status_code == 202
        final = painter.map(20)
        answer = painter.post_map("finish", 3, final)
        painter_again = painter.post_map("finish", 3, final)  # the answer was lost on the way
        painter.state = answer.json()
        assert painter_again.status_code == 200 and painter_again.json()["clips"] == painter.state["clips"]
        file = served[0].work.map(session["id"], 3)
        assert np.array_equal(read_values(file, final.shape), final)
    assert painter.state["done"] and painter.state["session"] is None and len(painter.state["code"]) == 10
    assert painter.http.get("/api/state").json() == painter.state
    assert painter.http.post("/api/join", json={}).json() == painter.state  # who loads the page again is still done


def test_after_a_reload_everything_is_there_again(painter):
    painter.paint(2)
    values = painter.map(5)
    encode = painter.post_map("encodes", 2, values).json()["encode"]
    session = painter.http.get("/api/state").json()["session"]
    assert (session["strokes"], session["encode"]) == (2, encode)
    items = painter.http.get(f"{painter.path}/strokes").json()["items"]
    assert items == [stroke(10, 12, frame=n) for n in range(2)]
    assert painter.http.get(session["map"]).content == values.tobytes()


def test_a_newer_map_cancels_the_older_encode(painter):
    painter.paint(1)
    older, newer = (painter.post_map("encodes", 1, painter.map(n)).json()["encode"] for n in (1, 2))
    assert painter.until_done(newer)["state"] == "done"
    assert painter.until_done(older)["state"] in ("cancelled", "done")  # done, if it was quicker than the next request
    assert painter.http.get(f"{painter.path}/encodes/{newer}/video.mp4").status_code == 200


def test_videos_can_be_loaded_in_parts_and_edges_by_frame(painter):
    whole = painter.http.get(f"{painter.path}/clip/source.mp4")
    part = painter.http.get(f"{painter.path}/clip/source.mp4", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert painter.http.get(f"{painter.path}/clip/edges/0.png").content.startswith(b"\x89PNG")
    for frame in ("24", "-1", "9" * 30, "x"):
        assert painter.http.get(f"{painter.path}/clip/edges/{frame}.png").status_code in (404, 422)


def test_nobody_sees_or_changes_anothers_session(served, painter):
    mine, theirs = painter, Painter(served[1])
    mine.paint(1)
    encode = mine.post_map("encodes", 1, mine.map()).json()["encode"]
    mine.until_done(encode)
    stranger = served[1]()
    body = gzip.compress(mine.map().tobytes())
    for other in (theirs.http, stranger):
        for path in ("clip/source.mp4", "strokes", "map", f"encodes/{encode}", f"encodes/{encode}/video.mp4"):
            assert other.get(f"{mine.path}/{path}").status_code == 404
        assert other.post(f"{mine.path}/strokes", json={"first": 1, "items": []}).status_code == 404
        for what in ("encodes", "finish"):
            assert other.post(f"{mine.path}/{what}?strokes=1", content=body).status_code == 404
    # An encode of somebody else under one's own session:
    assert theirs.http.get(f"{theirs.path}/encodes/{encode}").status_code == 404
    assert theirs.http.get(f"{theirs.path}/encodes/{encode}/video.mp4").status_code == 404
    assert stranger.get("/api/state").status_code == 401


@pytest.mark.parametrize(
    "id", ["..", "%2e%2e", "..%2f..%2fannotate.sqlite", "%00", "x" * 5000, "A" * 32, "'%20OR%20'1'='1", "0" * 32]
)
def test_ids_that_are_none_are_not_found(painter, id):
    for path in (f"/api/sessions/{id}/strokes", f"{painter.path}/encodes/{id}", f"{painter.path}/clip/{id}"):
        assert painter.http.get(path).status_code == 404
    assert painter.http.get(f"{painter.path}/encodes/{id}/video.mp4").status_code == 404


def test_maps_that_are_none_are_refused_and_never_unpacked_further_than_a_map(painter):
    painter.paint(1)
    whole = painter.map().tobytes()
    packed = gzip.compress(whole)
    bomb = gzip.compress(bytes(200 << 20), 9)  # 200 MiB in 200 KB
    assert len(bomb) < 1 << 20
    wrong = {
        "not packed": whole[:2000],
        "cut off": packed[:-9],
        "too short": gzip.compress(whole[:-1]),
        "too long": gzip.compress(whole + b"x"),
        "two in one": packed + packed,
        "zlib": zlib.compress(whole),
        "nothing": b"",
    }
    for name, body in wrong.items():
        answer = painter.post_map("encodes", 1, body)
        assert answer.status_code == 400 and "map" in answer.json()["detail"], name
    assert painter.post_map("encodes", 1, bomb).status_code in (400, 413)
    assert painter.post_map("encodes", 1, bytes(prod(painter.shape) * 2)).status_code == 413
    assert painter.post_map("encodes", 2, packed).status_code == 409  # of a stroke that is not stored
    for strokes in ("", "-1", "x", "1e3"):
        assert painter.post_map("encodes", strokes, packed).status_code == 422
    assert painter.http.get(f"{painter.path}/map").status_code == 404  # none of them was kept


def test_a_full_disk_is_the_servers_fault_and_nothing_of_the_map_is_kept(painter, monkeypatch):
    def full(path, values, fps):
        raise VideoError(f"{path}: cannot write (No space left on device)") from OSError(errno.ENOSPC, "No space left")

    painter.paint(1)
    monkeypatch.setattr(saving, "write_values", full)
    answer = painter.post_map("encodes", 1, painter.map())
    assert answer.status_code == 507 and "try again" in answer.json()["detail"]
    assert painter.http.get(f"{painter.path}/map").status_code == 404
    monkeypatch.undo()
    assert painter.post_map("encodes", 1, painter.map()).status_code == 202


def test_strokes_that_are_none_are_refused_in_one_line(painter):
    good = stroke(1, 1)
    wrong = [
        good | {"kind": "erase"},
        good | {"tool": "knife"},
        good | {"frame": 24},
        good | {"frame": -1},
        good | {"radius": 0},
        good | {"radius": 1e-300},
        good | {"strength": 1e9},
        good | {"points": []},
        good | {"points": [[1, 2]]},
        good | {"more": 1},
        {"kind": "undo"},
        "stroke",
    ]
    for item in wrong:
        answer = painter.http.post(f"{painter.path}/strokes", json={"first": 1, "items": [good, item]})
        assert answer.status_code == 422 and "\n" not in answer.json()["detail"], item
    for number in ("NaN", "1e400", "-Infinity"):
        body = f'{{"first": 1, "items": [{{"kind": "undo", "t_ms": {number}}}]}}'
        headers = {"Content-Type": "application/json"}
        assert painter.http.post(f"{painter.path}/strokes", content=body, headers=headers).status_code == 422
    gap = painter.http.post(f"{painter.path}/strokes", json={"first": 2, "items": [good]})
    assert gap.status_code == 409 and "1 to 1 of the log are missing" in gap.json()["detail"]
    assert painter.http.get(f"{painter.path}/strokes").json() == {"items": []}


def test_the_minimum_time_holds_for_who_calls_the_server_directly(served, painter, monkeypatch):
    monkeypatch.setattr(served[0].desk, "minimum_seconds", 3600.0)
    answer = painter.post_map("finish", 0, painter.map())
    assert answer.status_code == 409 and 3500 < answer.json()["seconds_left"] <= 3600
    assert painter.http.get("/api/state").json()["clips"]["done"] == 0


def test_a_worker_id_takes_part_once_and_the_next_worker_at_a_computer_is_somebody_else(served):
    first = Painter(served[1], worker="W-1")
    assert served[1]().post("/api/join", json={"worker": "W-1"}).status_code == 409
    assert first.http.post("/api/join", json={"worker": "W-1"}).json()["participant"] == first.state["participant"]
    assert first.http.post("/api/join", json={"worker": "W-2"}).json()["participant"] != first.state["participant"]
    for worker in ("", "=1+1", "a b", "x" * 129, "<b>", 3):
        assert first.http.post("/api/join", json={"worker": worker}).status_code == 422


@pytest.mark.slow
def test_the_administrator_alone_gets_numbers_codes_and_everything_that_was_painted(served, painter):
    for path in ("status", "participants.csv", "export"):
        assert painter.http.get(f"/api/admin/{path}").status_code == 401
        assert painter.http.get(f"/api/admin/{path}", headers={"Authorization": "Bearer x"}).status_code == 401
    painter.paint(2)
    painter.post_map("encodes", 2, painter.map())
    status = painter.http.get("/api/admin/status", headers=ADMIN).json()
    assert status["participants"] >= 1 and status["strokes"] >= 2 and set(status["clips"]) == {"disk", "other"}
    people = painter.http.get("/api/admin/participants.csv", headers=ADMIN).text.splitlines()
    assert people[0] == "participant,worker,joined,clips_done,code"
    mine = next(line for line in people if line.startswith(painter.state["participant"]))
    assert mine.endswith(",0,")  # no code before the end
    answer = painter.http.get("/api/admin/export", headers=ADMIN)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        log = archive.read("export/strokes.jsonl").decode()
    clip, session = (painter.state["session"][key] for key in ("clip", "id"))
    assert f"export/annotators/{painter.state['participant']}/{clip['name']}.mask.mkv" in names
    assert f"export/maps/{session}/map-000001.mkv" in names
    assert log.count(session) == 2
    assert sum(name.endswith(f"/{clip['name']}.mkv") for name in names) == 1  # a clip lies in it once
    assert not list(served[0].work.folder.glob(".export-*"))
