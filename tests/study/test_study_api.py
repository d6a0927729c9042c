"""What the server gives to whom."""

import csv
import io

import pytest
from fastapi.testclient import TestClient

from pvc.study.app import study_app
from pvc.study.ballot import load_ballots
from pvc.study.plan import Study
from pvc.study.simulate import Clock

HEADERS = {"X-PVC": "1", "Sec-Fetch-Site": "same-origin"}
ANSWER = {"plays_left": 1, "plays_right": 2, "restarts": 0, "layout": "side-by-side", "scale": 1.0, "seconds": 3.5}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def visit(made, sessions, clock):
    """A new browser at each call."""
    app = study_app(made, Study.load(made), sessions, token="secret", hosts=["127.0.0.1"], clock=clock)
    return lambda: TestClient(app, base_url="http://127.0.0.1", headers=HEADERS)


def finish(browser, clock, choice="left"):
    """Answer everything; the last state."""
    state = browser.get("/api/state").json()
    while state["trial"]:
        number = state["trial"]["number"]
        assert browser.post(f"/api/trials/{number}/open", json={}).status_code == 200
        clock.now += 2
        answer = browser.post(f"/api/trials/{number}/answer", json={**ANSWER, "choice": choice})
        assert answer.status_code == 200, answer.text
        state = answer.json()
    return state


def test_from_the_first_pair_to_the_code(visit, clock):
    browser = visit()
    before = browser.get("/api/state").json()
    assert before["participant"] is None and before["total"] == 6
    joined = browser.post("/api/join", json={"worker": "A1"}).json()
    assert joined["trial"]["number"] == 1 and joined["code"] is None
    last = finish(browser, clock)
    assert last["trial"] is None and last["done"] == 6 and len(last["code"]) == 10
    assert browser.get("/api/state").json() == last  # a reload


def test_nothing_says_which_codec_is_where(visit, made):
    browser = visit()
    joined = browser.post("/api/join", json={})
    names = {side.codec for pair in Study.load(made).pairs for side in pair.sides}
    said = joined.text.replace(joined.json()["participant"], "")  # in which a name like "bad" may be by chance
    assert not [name for name in names if name in said]
    assert not [side.file for pair in Study.load(made).pairs for side in pair.sides if side.file in said]
    video = browser.get(joined.json()["trial"]["left"])
    assert "content-disposition" not in video.headers and not [n for n in names if n in str(video.headers)]


def test_the_videos_are_those_of_the_pair_on_the_drawn_sides(visit, made, sessions):
    browser = visit()
    joined = browser.post("/api/join", json={}).json()
    study = Study.load(made)
    (ballot,) = load_ballots(study, sessions)
    for trial, pair in ballot.trials:
        left = next(side for side in pair.sides if side.codec == trial.left)
        right = next(side for side in pair.sides if side.codec != trial.left)
        for name, side in (("left", left), ("right", right)):
            got = browser.get(f"/api/trials/{trial.position}/{name}.mp4")
            assert got.content == (made / "videos" / side.file).read_bytes()
    part = browser.get(joined["trial"]["left"], headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and len(part.content) == 10


def test_others_see_nothing(visit):
    visit().post("/api/join", json={"worker": "A1"})
    stranger = visit()
    assert stranger.get("/api/state").json()["participant"] is None
    trials = ("1/left.mp4", "99/left.mp4", "1/both.mp4", "..%2f..%2fstudy.json/left.mp4")
    for path in (*(f"/api/trials/{trial}" for trial in trials), "/videos/001.mp4", "/study.json", "/../study.sqlite"):
        assert stranger.get(path).status_code in (404, 422), path
    assert stranger.post("/api/trials/1/answer", json={**ANSWER, "choice": "left"}).status_code == 404
    assert stranger.post("/api/join", json={"worker": "A1"}).status_code == 409


def test_the_next_worker_at_the_same_computer_starts_anew(visit):
    browser = visit()
    one = browser.post("/api/join", json={"worker": "A1"}).json()["participant"]
    assert browser.post("/api/join", json={"worker": "A1"}).json()["participant"] == one
    assert browser.post("/api/join", json={"worker": "A2"}).json()["participant"] != one


@pytest.mark.parametrize(
    "wrong",
    [
        {"choice": "both"}, {"plays_left": 0}, {"plays_right": -1}, {"layout": "none"}, {"scale": 0}, {"seconds": "x"},
        {"restarts": 10**9}, {"scale": "NaN"},
    ],
)  # fmt: skip
def test_answers_that_make_no_sense_are_refused(visit, wrong):
    browser = visit()
    browser.post("/api/join", json={})
    browser.post("/api/trials/1/open", json={})
    refused = browser.post("/api/trials/1/answer", json={**ANSWER, "choice": "left", **wrong})
    assert refused.status_code == 422 and "\n" not in refused.json()["detail"]
    assert browser.get("/api/state").json()["done"] == 0


def test_too_early_is_409_and_says_how_long(visit):
    browser = visit()
    browser.post("/api/join", json={})
    browser.post("/api/trials/1/open", json={})
    refused = browser.post("/api/trials/1/answer", json={**ANSWER, "choice": "left"})
    assert refused.status_code == 409 and "s are left" in refused.json()["detail"]


@pytest.mark.parametrize("worker", ["", "a" * 129, "a b", "<script>", "../x", "a\nb"])
def test_worker_ids_are_plain(visit, worker):
    assert visit().post("/api/join", json={"worker": worker}).status_code == 422


def test_the_export_needs_the_token_and_holds_every_answer(visit, clock):
    browser = visit()
    browser.post("/api/join", json={"worker": "+A1"})
    code = finish(browser, clock)["code"]
    for path in ("status", "answers.csv", "participants.csv"):
        assert visit().get(f"/api/admin/{path}").status_code == 401
        assert visit().get(f"/api/admin/{path}", headers={"Authorization": "Bearer wrong"}).status_code == 401
    admin = {"Authorization": "Bearer secret"}
    assert visit().get("/api/admin/status", headers=admin).json() == {"joined": 1, "finished": 1}
    answers = list(csv.DictReader(io.StringIO(visit().get("/api/admin/answers.csv", headers=admin).text)))
    assert len(answers) == 6 and all(row["choice"] == "left" and row["preferred"] == row["left"] for row in answers)
    assert {row["kind"] for row in answers} == {"test", "sanity"} and answers[0]["plays_right"] == "2"
    assert "A1" not in visit().get("/api/admin/answers.csv", headers=admin).text
    people = list(csv.DictReader(io.StringIO(visit().get("/api/admin/participants.csv", headers=admin).text)))
    assert people[0]["worker"] == "'+A1" and people[0]["code"] == code  # no spreadsheet takes it for a formula


def test_a_request_from_another_site_changes_nothing(visit):
    browser = visit()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"X-PVC": "0"}):
        assert browser.post("/api/join", json={}, headers=headers).status_code == 403
    assert browser.get("/api/state").json()["participant"] is None
