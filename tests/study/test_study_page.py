"""A study in a browser, from the first pair to the report."""

import json
import threading

import pytest
import uvicorn

from pvc.study import report
from pvc.study.app import study_app
from pvc.study.ballot import load_ballots
from pvc.study.plan import Study
from pvc.study.result import evaluate
from pvc.study.store import open_store
from pvc.web.serve import LOOPBACK, listen
from tests.browser import find_browser, page

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium to take part with (or set PVC_BROWSER)")

HELD = """
window.held = true;
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () { return window.held ? Promise.resolve() : play.call(this); };
"""
"""Videos stand still until ``held`` is false."""
STATUS = "document.querySelector('#status').textContent"
CHOOSE = f"{STATUS} === 'Choose one'"


@pytest.fixture
def site(made, tmp_path):
    """URL of the study that is served, and its answers."""
    study, sessions = Study.load(made), open_store(tmp_path)
    app = study_app(made, study, sessions, token="secret", hosts=list(LOOPBACK))
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/", study, sessions
    server.should_exit = True
    thread.join(60)
    listener.close()
    sessions.engine.dispose()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with page(find_browser(), tmp_path_factory.mktemp("profile")) as shown:
        yield shown


@pytest.fixture
def browser(shared):
    """The page, without what it knew of another server."""
    shared.errors.clear()
    yield shared
    assert shared.errors == []


def number(browser) -> int:
    """Of the pair on the screen."""
    return int(browser.value("document.querySelector('#where').textContent").split()[1])


def start(browser, url, worker, width=1280, height=720):
    browser.open(f"{url}?worker={worker}", width, height)
    browser.until("!document.querySelector('#welcome').hidden")
    browser.click("#start")
    browser.until("!document.querySelector('#trial').hidden")


def ballot_of(site, worker):
    _, study, sessions = site
    return next(ballot for ballot in load_ballots(study, sessions) if ballot.worker == worker)


def prefer(site, worker, position) -> str:
    """The side of the good or importance-coded video."""
    trial, pair = ballot_of(site, worker).trials[position - 1]
    return "left" if trial.left == pair.sides[0].codec else "right"


def test_from_the_first_pair_to_the_report(site, browser, tmp_path):
    for worker in ("W1", "W2"):  # one after the other at the same computer
        start(browser, site[0], worker)
        for position in range(1, 7):
            browser.until(f"{CHOOSE} && document.querySelector('#where').textContent.startsWith('Pair {position} ')")
            side = prefer(site, worker, position)
            if worker == "W1":
                browser.key({"left": "ArrowLeft", "right": "ArrowRight"}[side])
                browser.key("Enter")
            else:
                browser.click(f"[data-choose={side}]")
                browser.click("#next")
        browser.until("!document.querySelector('#done').hidden")
        code = browser.value("document.querySelector('#code output').textContent")
        assert code == ballot_of(site, worker).code
    _, study, sessions = site
    ballots = load_ballots(study, sessions)
    assert [ballot.excluded for ballot in ballots] == [None, None]
    for trial, _ in (answered for ballot in ballots for answered in ballot.answered):
        assert trial.layout == "side-by-side" and trial.scale == 1
        assert trial.plays_left == trial.plays_right >= 1
    report.write(evaluate(study, ballots), tmp_path / "report")
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [video["wins"] for video in found["comparisons"][0]["videos"]] == [2, 2, 2]
    browser.open(tmp_path / "report" / "report.html")
    assert "always preferred" in browser.value("document.querySelector('.lead').textContent")
    assert browser.value("document.querySelector('.plot').naturalWidth") > 0


def test_nobody_answers_before_both_were_seen(site, browser):
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=HELD)["identifier"]
    try:
        start(browser, site[0], "early")
        browser.until(f"{STATUS} === 'Watch both to the end first'")
        for key in ("ArrowRight", "Enter"):
            browser.key(key)
        browser.click("[data-choose=left]")
        browser.click("#next")
        assert browser.value("document.querySelectorAll('[aria-pressed=true].choice').length") == 0
        assert browser.value("[...document.querySelectorAll('.choice, #next')].every((b) => b.disabled)")
        assert not ballot_of(site, "early").answered
        browser.value("window.held = false")
        browser.key("r")
        browser.until(CHOOSE)
        browser.key("ArrowLeft")
        browser.key("Enter")
        browser.until("document.querySelector('#where').textContent.startsWith('Pair 2 ')")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    ((trial, _),) = ballot_of(site, "early").answered
    assert (trial.choice, trial.restarts) == ("left", 1)


def test_a_reload_goes_on_where_it_was(site, browser):
    start(browser, site[0], "reload")
    browser.until(CHOOSE)
    browser.key("ArrowLeft")
    browser.key("Enter")
    browser.until("document.querySelector('#where').textContent.startsWith('Pair 2 ')")
    browser.open(f"{site[0]}?worker=reload", 1280, 720)
    browser.until(CHOOSE)
    assert number(browser) == 2 and browser.value("document.querySelector('#welcome').hidden")
    assert len(ballot_of(site, "reload").answered) == 1


def test_videos_have_their_own_size_and_go_one_after_another_where_both_do_not_fit(site, browser):
    start(browser, site[0], "small", 200, 700)
    browser.until(f"{STATUS}.includes('this is the first one')")
    assert browser.box("[data-side=left] video")[2:] == (96, 64)
    assert browser.box("[data-side=left] video") == browser.box("[data-side=right] video")
    browser.until(f"{STATUS}.includes('this is the second one')")
    assert browser.value("document.querySelector('#next').disabled")
    browser.until(CHOOSE)
    for key, shown in (("2", "right"), ("1", "left")):
        browser.key(key)
        browser.until(f"!document.querySelector('[data-side={shown}] video').classList.contains('away')")
        assert browser.value("document.querySelectorAll('video.away').length") == 1
    browser.key("ArrowRight")
    browser.key("Enter")
    browser.until("document.querySelector('#where').textContent.startsWith('Pair 2 ')")
    ((trial, _),) = ballot_of(site, "small").answered
    assert (trial.layout, trial.choice, trial.scale) == ("in-turn", "right", 1)
    browser.resize(1280, 720)
    browser.until("!document.querySelector('#trial').classList.contains('in-turn')")
    x, _, width, _ = browser.box("[data-side=left] video")
    assert width == 96 and browser.box("[data-side=right] video")[0] >= x + 96
    browser.resize(200, 260)  # both bars and the video need more than this
    browser.until("document.querySelector('#trial').classList.contains('in-turn')")


def test_no_video_begins_anew_before_the_other_has_ended(site, browser):
    script = browser.call(
        "Page.addScriptToEvaluateOnNewDocument",
        source="window.said = []; addEventListener('ended', "
        "({ target }) => said.push(target.closest('figure').dataset.side), true);",
    )["identifier"]
    try:
        start(browser, site[0], "step")
        browser.until("said.length >= 8")
        said = browser.value("said")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    assert all(set(said[k : k + 2]) == {"left", "right"} for k in range(0, 8, 2)), said


def test_a_server_that_is_away_is_said_and_the_choice_is_kept(site, browser):
    start(browser, site[0], "offline")
    browser.until(CHOOSE)
    browser.key("ArrowRight")
    browser.call("Network.enable")
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.call("Network.emulateNetworkConditions", offline=True, **offline)
    browser.key("Enter")
    browser.until("!document.querySelector('#notice').hidden")
    assert "could not be reached" in browser.value("document.querySelector('#notice').textContent")
    browser.call("Network.emulateNetworkConditions", offline=False, **offline)
    browser.click("#again")
    browser.until("document.querySelector('#where').textContent.startsWith('Pair 2 ')")
    assert ballot_of(site, "offline").answered[0][0].choice == "right"
