"""The page's own arithmetic, in a browser: what it paints is what the stroke log says, by Python's account."""

import base64
import json
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

import pvc.annotate
from pvc.annotate.flow_bin import write_flow
from pvc.annotate.maps import paint
from pvc.importance.compose import normalise
from tests.browser import find_browser, page

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium to paint in (or set PVC_BROWSER)")

SHAPE = FRAMES, ROWS, COLUMNS = 60, 21, 37  # odd: planes of the flow lie unaligned


@pytest.fixture(scope="module")
def flow():
    """A picture that moves and turns, an occlusion, and a cut before frame 50."""
    generator = np.random.default_rng(1)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    steps = []
    for t in range(FRAMES - 1):
        x = -30 + 8 * np.sin(rows / 5 + t / 7) + generator.normal(0, 3, (ROWS, COLUMNS))
        y = 24 * np.cos(columns / 9) * np.cos(t / 11)
        confidence = np.full((ROWS, COLUMNS), 0 if t == 49 else 255, np.uint8)
        confidence[5:9, 20:25] = 180
        steps.append((np.rint(x).astype(np.int16), np.rint(y).astype(np.int16), confidence))
    return steps


@pytest.fixture(scope="module")
def shown(flow, tmp_path_factory):
    """A page with the painting modules and the flow in ``window``."""
    folder = tmp_path_factory.mktemp("page")
    write_flow(folder / "flow.bin", FRAMES - 1, (ROWS, COLUMNS), flow)
    (folder / "static").symlink_to(Path(pvc.annotate.__file__).with_name("static"))
    (folder / "index.html").write_text("<!doctype html><title>painting</title>")
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    with page(find_browser(), tmp_path_factory.mktemp("profile")) as browser:
        browser.open(f"http://127.0.0.1:{server.server_port}/index.html")
        browser.value(
            """(async () => {
            const modules = ['flow', 'map', 'history', 'normalise'].map((name) => import(`/static/${name}.js`));
            Object.assign(window, ...(await Promise.all(modules)));
            window.flow = new Flow(await (await fetch('/flow.bin')).arrayBuffer());
            window.fresh = (decay) => new History(new PaintedMap(new Carrier(flow, FRAMES, {frames: 40, decay})));
            window.packed = (bytes) => new Uint8Array(bytes).toBase64?.() ?? btoa(String.fromCharCode(...bytes));
            })()""".replace("FRAMES", str(FRAMES))
        )
        yield browser
        assert browser.errors == []
    server.shutdown()


def in_browser(shown, script):
    """A map that a script gives."""
    return np.frombuffer(base64.b64decode(shown.value(script)), np.uint8).reshape(SHAPE)


def make_log(seed, count):
    """Strokes of all kinds, with undo, redo and clear between them."""
    generator = np.random.default_rng(seed)
    log = []
    for _ in range(count):
        kind = generator.choice(["stroke", "undo", "redo", "clear"], p=[0.7, 0.15, 0.1, 0.05])
        if kind != "stroke":
            log.append({"kind": str(kind), "t_ms": 0})
            continue
        x, y = generator.uniform(-3, COLUMNS + 3), generator.uniform(-3, ROWS + 3)
        points = []
        for t in range(int(generator.integers(1, 12))):
            x, y = x + generator.normal(0, 3), y + generator.normal(0, 3)
            pressure = [round(float(generator.uniform(0, 1)), 2)] if seed % 2 else []
            points.append([round(float(x), 2), round(float(y), 2), 16 * t, *pressure])
        log.append(
            {
                "kind": "stroke",
                "tool": str(generator.choice(["brush", "eraser"])),
                "frame": int(generator.integers(0, FRAMES)),
                "radius": round(float(generator.uniform(1, 14)), 2),
                "strength": 60,
                "points": points,
                "t_ms": 0,
            }
        )
    return log


@pytest.mark.parametrize("seed", range(4))
def test_the_page_paints_what_the_stroke_log_says_by_python(flow, shown, seed):
    log = make_log(seed, 25)
    script = (
        f"(() => {{ const painted = fresh('linear'); for (const item of {json.dumps(log)}) painted.push(item);"
        "return packed(painted.map.bytes()) })()"
    )
    theirs, ours = in_browser(shown, script).astype(int), paint(log, flow, SHAPE).astype(int)
    assert np.abs(ours - 127).max() > 30
    # Sums are rounded at other places; a value that lies between two levels may fall to either side.
    assert np.abs(theirs - ours).max() <= 1
    assert (theirs != ours).mean() < 0.02


def test_a_reload_paints_the_same_map_and_undo_goes_on_from_there(shown):
    log = make_log(8, 30)
    script = (
        f"(() => {{ const log = {json.dumps(log)}, live = fresh('linear'), loaded = fresh('linear');"
        "for (const item of log) live.push(item); loaded.restore(log);"
        "const same = () => live.map.values.every((v, k) => v === loaded.map.values[k]);"
        "const first = same(); let undone = 0;"
        "const both = (kind) => (live.push({kind}), loaded.push({kind}));"
        "while (live.canUndo) { both('undo'); undone++; if (!same()) return 'undo'; }"
        "const neutral = live.map.values.every((v) => v === NEUTRAL * UNIT);"
        "while (live.canRedo) { both('redo'); if (!same()) return 'redo'; }"
        "return [first, undone > 3, neutral]; })()"
    )
    assert shown.value(script) == [True, True, True]


def test_what_was_painted_over_and_over_can_be_erased(shown):
    stroke = {"kind": "stroke", "tool": "brush", "frame": 3, "radius": 5, "strength": 60}
    stroke["points"] = [[18, 10, 0], [22, 10, 90]]
    levels = shown.value(
        f"(() => {{ const h = fresh('linear'), s = {json.dumps(stroke)}, at = 10 * {COLUMNS} + 20, got = [];"
        "for (let k = 0; k < 30; k++) h.push(s); got.push(h.map.frame(3)[at]);"
        "for (let k = 0; k < 5; k++) h.push({...s, tool: 'eraser'}); got.push(h.map.frame(3)[at]); return got })()"
    )
    assert levels[0] == 255
    assert levels[1] < 60


@pytest.mark.parametrize("decay", [0.9, 1.0])
def test_how_strokes_fade_is_a_setting(shown, decay):
    stroke = {"kind": "stroke", "tool": "brush", "frame": 0, "radius": 30, "strength": 20, "points": [[18, 10, 0]]}
    left = shown.value(
        f"(() => {{ const h = fresh({decay}); h.push({json.dumps(stroke)}); const middle = 10 * {COLUMNS} + 18;"
        f"return [0, 10, 40, 41].map((t) => h.map.values[t * {ROWS * COLUMNS} + middle] / UNIT - NEUTRAL) }})()"
    )
    assert left[0] > 19
    if decay == 1:
        assert left[1] > 0.5 * left[0]
    else:
        assert 0 < left[1] < 0.5 * left[0]
    assert left[3] == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_map_is_normalised_as_everywhere_else_in_pvc(shown, seed):
    generator = np.random.default_rng(seed)
    low, high = [(0, 90), (0, 255), (150, 255)][seed]
    values = np.floor(generator.uniform(low, high, (4, 50, 60)) * 64) / 64
    q = list(normalise(list(torch.from_numpy((values / 255).astype(np.float32))[:, None]), over="clip"))
    expected = np.stack([plane[0].numpy() for plane in q]) * 255
    ticks = (values * 64).astype(int).ravel().tolist()
    c = shown.value(
        "(() => { const counts = new Int32Array(BINS);"
        f"for (const v of {ticks}) counts[v - LOW]++; return shift(counts) }})()"
    )
    assert np.abs(np.clip(values + c, 0, 255) - expected).max() < 0.01
    assert np.clip(values + c, 0, 255).mean() == pytest.approx(127, abs=0.005)
