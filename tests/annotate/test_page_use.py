"""The whole tool as people use it: a real server, a real browser, real mouse, keys, fingers and pen."""

import json
import os
import re
import signal
import sqlite3
from fractions import Fraction

import numpy as np
import pytest
import torch

from pvc.annotate.clip import load_clips
from pvc.annotate.maps import read_values
from pvc.video import VideoWriter, read_clip
from tests.annotate.painting import serving
from tests.browser import CTRL, find_browser, page

pytestmark = [
    pytest.mark.skipif(find_browser() is None, reason="no Chromium to paint in (or set PVC_BROWSER)"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are stopped by signals"),
]

WIDTH, HEIGHT, FRAMES = 160, 96, 24
BITS = 5
SPEED = 2  # pixels a frame, of the square


def make_frames(seed):
    """A square that moves to the right over a ground, both with texture; above them the frame's number in black and
    white, 16 pixels a bit."""
    generator = np.random.default_rng(seed)
    ground = generator.integers(60, 200, (HEIGHT // 4, WIDTH // 4, 3)).repeat(4, 0).repeat(4, 1)
    square = generator.integers(30, 230, (12, 12, 3)).repeat(3, 0).repeat(3, 1)
    for t in range(FRAMES):
        frame = ground.copy()
        frame[40:76, 20 + SPEED * t : 56 + SPEED * t] = square
        for bit in range(BITS):
            frame[:16, 16 * bit : 16 * bit + 16] = 235 if t >> bit & 1 else 20
        yield torch.from_numpy(frame.astype(np.uint8)).permute(2, 0, 1)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder of two clips, served; the URL and the folder of what is painted."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate(("first", "second")):
        with VideoWriter(folder / f"{name}.mkv", width=WIDTH, height=HEIGHT, fps=Fraction(12)) as writer:
            for frame in make_frames(seed):
                writer.write(frame)
    settings = [f"prepare.width={WIDTH}", f"prepare.height={HEIGHT}", "prepare.psnr=24", "codec.threads=1"]
    settings += ["queue.workers=1", "session.minimum_seconds=3600"]
    with serving(folder, folder.with_suffix(".txt"), *settings) as (server, url):
        yield url, folder / "annotations"
        server.send(signal.SIGINT)
        assert server.code() == 0, server.said


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One browser for all."""
    with page(find_browser(), tmp_path_factory.mktemp("profile")) as shown:
        yield shown


@pytest.fixture
def tool(work, browser):
    """The page as somebody sees it who has not been here before, past the guide."""
    browser.open("about:blank#next", 1280, 720)
    browser.call("Network.clearBrowserCookies")
    browser.call("Storage.clearDataForOrigin", origin=work[0].rstrip("/"), storageTypes="all")
    browser.open(work[0], 1280, 720)
    loaded(browser)
    browser.until("document.querySelector('#guide').open")
    browser.key("Escape")
    browser.until("!document.querySelector('#guide').open")
    yield browser
    # Away from the page before the next one, with all that it has to send sent.
    browser.until(
        "document.querySelector('#app').hidden || document.querySelector('#saved').textContent.trim() === 'Saved'"
    )
    assert browser.errors == []


def loaded(shown):
    shown.until("document.querySelector('#app')?.hidden === false")
    shown.until(f"{sample('left', 100, 60)}.some((v) => v > 30)")


def at(shown, side, x, y):
    """The window's place of a clip's pixel."""
    left, top, width, height = shown.box(f"#{side}-stage")
    scale = min(width / WIDTH, height / HEIGHT)
    return left + (width - WIDTH * scale) / 2 + x * scale, top + (height - HEIGHT * scale) / 2 + y * scale


def sample(side, x, y):
    """JavaScript for the colour that a side shows at a clip's pixel."""
    canvas = f"document.querySelector('#{side}-stage canvas')"
    scale = f"Math.min(c.width / {WIDTH}, c.height / {HEIGHT})"
    return (
        f"((c, s) => [...c.getContext('2d').getImageData((c.width - {WIDTH} * s) / 2 + {x} * s,"
        f" (c.height - {HEIGHT} * s) / 2 + {y} * s, 1, 1).data].slice(0, 3))({canvas}, ((c) => {scale})({canvas}))"
    )


def red(shown, x, y):
    """Level that the map shows at a clip's pixel, after the next picture."""
    shown.value("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
    return shown.value(sample("right", x, y))[0]


def number(side):
    """JavaScript for the frame's number that a picture itself shows."""
    return "+".join(f"({sample(side, 16 * bit + 8, 8)}[1] > 128) * {1 << bit}" for bit in range(BITS))


def paint(shown, side, points):
    shown.drag([at(shown, side, x, y) for x, y in points])


def edges_off(shown):
    """So that what is sampled of the map is the map."""
    if shown.value("document.querySelector('#edges').getAttribute('aria-pressed')") == "true":
        shown.key("o")


def encoded(shown, strokes):
    """Wait until the encode of so many strokes is shown."""
    shown.until(f"document.querySelector('#left').dataset.strokes === '{strokes}'")


def rows(work, what):
    with sqlite3.connect(f"file:{work[1] / 'annotate.sqlite'}?mode=ro", uri=True) as db:
        return db.execute(what).fetchall()


def session_of(shown):
    return shown.value("fetch('/api/state').then((r) => r.json()).then((s) => s.session)")


def strokes_of(shown, session):
    shown.until("document.querySelector('#saved').textContent.trim() === 'Saved'")
    return shown.value(f"fetch('/api/sessions/{session}/strokes').then((r) => r.json()).then((s) => s.items)")


OVER = [(30, 50), (38, 58), (46, 50), (38, 66)]  # of the square in the first frame


def test_paint_is_carried_by_the_flow_and_coded_better_at_the_same_bitrate(work, tool):
    edges_off(tool)
    assert abs(red(tool, 38, 58) - 127) <= 1
    for _ in range(9):
        tool.key("[")
    paint(tool, "right", OVER)
    assert red(tool, 38, 58) > 200
    assert red(tool, 140, 20) < 127  # the mean stays
    encoded(tool, 1)

    for _ in range(10):
        tool.key("ArrowRight")
    tool.until("document.querySelector('#number').textContent === '11 / 24'")
    assert red(tool, 38 + 10 * SPEED, 58) > red(tool, 28, 58) + 30

    session = session_of(tool)
    clip = next(c for c in load_clips(work[1]) if c.name == session["clip"]["name"])
    folder = work[1] / "sessions" / session["id"]
    values = read_values(folder / "map-000001.mkv", clip.grid)
    assert values.mean() == pytest.approx(127, abs=0.5)  # whole numbers
    source, baseline, ours = (
        np.stack([f.numpy() for f in read_clip(p)]).astype(float)
        for p in (clip.folder / "source.mkv", clip.folder / "baseline.mp4", next(folder.glob("encode-*.mp4")))
    )
    painted = (values > 160).repeat(4, 1).repeat(4, 2)[:, None].repeat(3, 1)
    assert 0.01 < painted.mean() < 0.3

    def psnr(decoded, where):
        return 10 * np.log10(255**2 / np.square(decoded - source)[where].mean())

    assert psnr(ours, painted) > psnr(baseline, painted) + 0.5
    assert psnr(ours, ~painted) < psnr(baseline, ~painted)
    ((kbps, target),) = tool.value(
        f"fetch('/api/sessions/{session['id']}/encodes/{session['encode']}').then((r) => r.json())"
        ".then((e) => [[e.kbps, e.target_kbps]])"
    )
    assert kbps == pytest.approx(target, rel=0.03)
    assert "where redder +" in tool.value("document.querySelector('#figures').textContent")


def test_the_frame_that_is_shown_is_the_frame_that_is_meant(tool):
    shown = {"left": number("left"), "right": number("right")}
    tool.key("s")  # the baseline where the map was, so that both sides are pictures
    for frame in (0, 23, 1, 2, 3, 11, 12, 7, 22, 0, 16):
        tool.value(
            f"((s) => (s.value = {frame}, s.dispatchEvent(new Event('input'))))(document.querySelector('#frame'))"
        )
        for side in shown:
            tool.until(f"{shown[side]} === {frame}")
    tool.key("r")  # the source
    tool.until(f"document.querySelector('#right-title').textContent === 'Source' && {shown['right']} === 16")
    tool.key("s")

    # While it plays: the number in the picture and the one beside the slider, between two pictures of the screen.
    tool.value(
        "(() => { window.seen = []; const look = () => { window.seen.push(["
        f"{shown['left']}, Number(document.querySelector('#number').textContent.split(' ')[0]) - 1]);"
        "if (window.seen.length < 40) setTimeout(next, 40) };"
        "const next = () => requestAnimationFrame(() => setTimeout(look));"
        "document.querySelector('#play').click(); next() })()"
    )
    tool.until("window.seen.length === 40")
    seen = tool.value("window.seen")
    assert len({picture for picture, _ in seen}) > 5
    assert all(picture == meant for picture, meant in seen), seen
    tool.key(" ")
    tool.until("document.querySelector('#play').ariaLabel === 'Play'")
    tool.until(f"{shown['left']} === Number(document.querySelector('#number').textContent.split(' ')[0]) - 1")


def test_undo_redo_erase_and_clear_and_a_reload_shows_the_same(tool):
    edges_off(tool)
    paint(tool, "right", OVER)
    once = red(tool, 38, 58)
    tool.key("e")
    paint(tool, "left", [(38, 58), (44, 58)])  # on the video itself
    erased = red(tool, 38, 58)
    assert erased < once - 40
    tool.key("z", CTRL)
    assert red(tool, 38, 58) == once
    tool.key("y", CTRL)
    assert red(tool, 38, 58) == erased
    tool.click("#clear")
    tool.click("#ask [value=yes]")
    tool.until("!document.querySelector('#ask').open")
    assert abs(red(tool, 38, 58) - 127) <= 1
    tool.click("#undo")
    assert red(tool, 38, 58) == erased

    session = session_of(tool)["id"]
    items = strokes_of(tool, session)
    assert [item["kind"] for item in items] == ["stroke", "stroke", "undo", "redo", "clear", "undo"]
    assert [item.get("tool") for item in items[:2]] == ["brush", "eraser"]

    tool.reload()
    tool.until("document.querySelector('#app')?.hidden === false")
    assert not tool.value("document.querySelector('#guide').open")
    edges_off(tool)
    tool.until(f"{sample('right', 38, 58)}[0] === {erased}")
    tool.click("#undo")
    assert red(tool, 38, 58) == once
    assert not tool.value("document.querySelector('#redo').disabled")
    assert len(strokes_of(tool, session)) == 7


def test_nothing_is_lost_without_a_connection(tool):
    def offline(is_so):
        tool.call(
            "Network.emulateNetworkConditions", offline=is_so, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    session = session_of(tool)["id"]
    tool.call("Network.enable")
    offline(True)
    paint(tool, "right", OVER)
    tool.until("!document.querySelector('#notice').hidden")
    assert "No connection" in tool.value("document.querySelector('#notice').textContent")
    paint(tool, "right", [(100, 60), (110, 60)])
    assert tool.value("document.querySelector('#saved').textContent.trim()") == "Saving…"
    # Closed and opened again: what was not sent is still here.
    offline(False)
    kept = tool.value(f"localStorage.getItem('pvc-strokes-{session}')")
    assert kept is None or len(json.loads(kept)["items"]) == 2
    tool.until("document.querySelector('#saved').textContent.trim() === 'Saved'")
    tool.until("document.querySelector('#notice').hidden")
    assert len(strokes_of(tool, session)) == 2
    encoded(tool, 2)


def test_strokes_that_were_never_sent_survive_the_page(tool):
    session = session_of(tool)["id"]
    stroke = {"kind": "stroke", "tool": "brush", "frame": 0, "radius": 6, "strength": 60, "t_ms": 5}
    kept = {"first": 1, "items": [{**stroke, "points": [[10, 15, 0]]}]}
    tool.value(f"localStorage.setItem('pvc-strokes-{session}', {json.dumps(json.dumps(kept))})")
    tool.reload()
    tool.until("document.querySelector('#app')?.hidden === false")
    assert len(strokes_of(tool, session)) == 1
    edges_off(tool)
    assert red(tool, 40, 60) > 180
    encoded(tool, 1)


def test_fingers_and_the_pen(tool):
    edges_off(tool)
    session = session_of(tool)["id"]
    tool.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    one, two = at(tool, "right", 38, 58), at(tool, "right", 60, 58)
    tool.touch("touchStart", [one])
    tool.touch("touchMove", [two])
    tool.touch("touchEnd")
    assert red(tool, 50, 58) > 200
    # Two fingers zoom, and leave no stroke behind.
    tool.touch("touchStart", [one])
    tool.touch("touchStart", [one, two])
    tool.touch("touchMove", [(one[0] - 60, one[1]), (two[0] + 60, two[1])])
    tool.touch("touchEnd")
    assert int(tool.value("document.querySelector('#zoom').textContent").split()[0]) > 130
    tool.key("0")
    tool.until("document.querySelector('#zoom').textContent === '100 %'")
    tool.call("Emulation.setTouchEmulationEnabled", enabled=False)
    before = red(tool, 120, 60)
    pen = {"pointerType": "pen", "button": "left", "buttons": 1, "clickCount": 1}
    tool.mouse("mousePressed", *at(tool, "right", 120, 60), force=0.5, **pen)
    tool.mouse("mouseReleased", *at(tool, "right", 120, 60), force=0, **pen)
    items = strokes_of(tool, session)
    assert [item["kind"] for item in items] == ["stroke", "stroke"]
    assert len(items[0]["points"][0]) == 3
    assert items[1]["points"][0][3] == pytest.approx(0.5)
    assert before + 20 < red(tool, 120, 60) < before + 35


def test_everything_can_be_done_by_the_keyboard(tool):
    edges_off(tool)
    session = session_of(tool)["id"]
    for _ in range(40):
        tool.key("Tab")
        if tool.value("document.activeElement.id") == "right-stage":
            break
    assert tool.value("document.activeElement.matches(':focus-visible')")
    for key in ("]", "ArrowLeft", "ArrowLeft", "ArrowUp", "Enter"):
        tool.key(key)
    (stroke,) = strokes_of(tool, session)
    assert stroke["radius"] == pytest.approx(11.5)
    x, y, *_ = stroke["points"][0]
    assert x < WIDTH / 8
    assert y < HEIGHT / 8
    assert red(tool, 4 * x, 4 * y) > 160
    tool.key("?", 8)
    tool.until("document.querySelector('#help').open")
    assert "Undo" in tool.value("document.querySelector('#help').textContent")
    tool.key("Escape")
    nameless = tool.value(
        "[...document.querySelectorAll('#app button, #app input')].filter((e) => !(e.ariaLabel || e.textContent.trim()"
        " || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert nameless == []


@pytest.mark.parametrize("size", [(1280, 720), (1280, 600), (1024, 768), (768, 1024)])
def test_everything_is_in_the_window(tool, size):
    tool.resize(*size)
    tool.value("new Promise((r) => setTimeout(r, 50))")
    outside = tool.value(
        "[...document.querySelectorAll('#app button, #app input, .stage, .caption')]"
        ".filter((e) => e.checkVisibility()).filter((e) => { const b = e.getBoundingClientRect();"
        "return b.left < 0 || b.top < 0 || b.right > innerWidth + 0.5 || b.bottom > innerHeight + 0.5"
        " || b.height < 20 || b.width < 20 }).map((e) => e.id || e.className)"
    )
    assert outside == []


def test_the_next_video_comes_after_the_minimum_time(work, tool):
    first = session_of(tool)
    assert re.fullmatch(r"Next video in (5\d|60):\d\d", tool.value("document.querySelector('#next').textContent"))
    tool.click("#next")
    assert not tool.value("document.querySelector('#ask').open")
    paint(tool, "right", OVER)
    assert len(strokes_of(tool, first["id"])) == 1
    hour_ago = "UPDATE annotate_session SET started = started - 3600 WHERE id = ?"
    with sqlite3.connect(work[1] / "annotate.sqlite", timeout=30) as db:
        db.execute(hour_ago, [first["id"]])
    tool.reload()
    loaded(tool)
    tool.until("document.querySelector('#next').textContent === 'Next video'")
    paint(tool, "right", [(100, 60), (110, 60)])
    assert not tool.value("document.querySelector('#encoding').hidden")
    tool.click("#next")
    tool.click("#ask [value=yes]")
    tool.until(
        "document.querySelector('#clip-of').textContent === 'Video 2 of 2' && !document.querySelector('#app').hidden"
    )
    second = session_of(tool)
    assert second["clip"]["name"] != first["clip"]["name"]
    assert tool.value("document.querySelector('#next').ariaDisabled") == "true"  # it waits again, and looks like it
    assert tool.value("document.querySelector('#encoding').hidden")  # of the first video's encode nothing is left
    with sqlite3.connect(work[1] / "annotate.sqlite", timeout=30) as db:
        db.execute(hour_ago, [second["id"]])
    tool.reload()
    loaded(tool)
    tool.click("#next")
    assert "not painted anything" in tool.value("document.querySelector('#ask-text').textContent")
    tool.click("#ask [value=yes]")
    tool.until("document.querySelector('#between-title').textContent === 'Thank you'")
    code = tool.value("document.querySelector('#code code').textContent")
    assert len(code) >= 8
    assert (code,) in rows(work, "SELECT code FROM annotate_participant")
