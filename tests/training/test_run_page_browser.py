"""The page of a run that goes on, in a browser: curves that answer the mouse, and it keeps itself up to date."""

import csv
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning import LightningModule

from pvc.training.page import RunPage
from tests.browser import find_browser, page

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no Chromium to open the page with (or set PVC_BROWSER)")
POINTS = [("0.0001", 1.0, 36.0), ("0.0004", 0.5, 33.5), ("0.0016", 0.25, 31.0), ("0.0064", 0.125, 28.0)]


def log(out: Path, steps: int) -> None:
    """A log as the CSV logger writes it; the validation gains 0.1 dB every 10 steps."""
    rows = []
    for step in range(steps):
        rows.append({"step": step, "train/loss": 100 / (step + 1), "train/bpp": 0.5, "train/psnr": 30 + step / 10})
        if step % 10 == 9:
            values = {
                f"val/beta={b}/alpha=1/{k}": v for b, rate, psnr in POINTS for k, v in (("bpp", rate), ("psnr", psnr))
            }
            rows.append({"step": step} | {k: v + step / 100 if k.endswith("psnr") else v for k, v in values.items()})
    file = out / "logs" / "version_0" / "metrics.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as f:
        writer = csv.DictWriter(f, sorted({k for row in rows for k in row}))
        writer.writeheader()
        writer.writerows(rows)


def begun(out: Path, every: float) -> tuple[RunPage, SimpleNamespace]:
    """The page of a run that is at step 20 of 100, and a trainer to go on with."""
    log(out, 20)
    (out / "logs" / "anchor.json").write_text(
        '["x265", [["crf 37", {"bpp": 0.1, "psnr": 29}], ["crf 32", {"bpp": 0.2, "psnr": 31.5}],'
        ' ["crf 27", {"bpp": 0.4, "psnr": 34}], ["crf 22", {"bpp": 0.8, "psnr": 36.5}]]]'
    )
    trainer = SimpleNamespace(global_step=20, max_steps=100, is_global_zero=True, should_stop=False)
    trainer.datamodule, trainer.num_devices, trainer.num_nodes, trainer.precision = None, 1, 1, "32-true"
    made = RunPage(out, "a run", "seed: 0", every=every, anchor="x265", points=[22, 27, 32, 37], cache=None)
    made.on_train_start(trainer, LightningModule())
    return made, trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, RunPage, SimpleNamespace]:
    """A run whose page is not loaded again while the tests look at it."""
    out = tmp_path_factory.mktemp("run")
    return out, *begun(out, every=3600)


@pytest.fixture(scope="module")
def shown(run, tmp_path_factory):
    with page(find_browser(), tmp_path_factory.mktemp("profile")) as window:
        window.open(run[0] / "run.html")
        window.until("document.body.dataset.ready === 'true'")
        yield window
        assert window.errors == []


CHARTS = "[...document.querySelectorAll('#lines .panel')]"
LOSS = f"{CHARTS}.find((p) => p.textContent.includes('Loss'))"


def test_the_pointer_shows_the_values_of_a_step(shown):
    rect = f"{LOSS}.querySelector('.chart svg').getBoundingClientRect()"
    place = f"(({{x, y, width, height}}) => [x, y, width, height])({rect})"
    shown.value(f"{LOSS}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    tip = f"{LOSS}.querySelector('.tip')"
    x, y, width, height = shown.value(place)
    shown.until(f"!{tip}.hidden", each=lambda: shown.mouse("mouseMoved", x + width - 14, y + height / 2))
    said = shown.value(f"{tip}.textContent")
    assert said.startswith("step 20") and "loss 5" in said and "(mean" in said
    shown.mouse("mouseMoved", 2, 2)
    assert shown.value(f"{tip}.hidden")


def heights(shown) -> list[float]:
    points = shown.value(f"{LOSS}.querySelector('polyline.bold').getAttribute('points')")
    return [float(pair.split(",")[1]) for pair in points.split()]


def test_a_falling_loss_falls_in_either_scale_and_the_scales_differ(shown):
    first = heights(shown)
    button = f"{LOSS}.querySelector('h3 button')"
    before = shown.value(f"{button}.textContent")
    shown.value(f"{button}.click()")
    second = heights(shown)
    assert shown.value(f"{button}.textContent") != before and first != second
    for y in (first, second):
        assert all(b >= a - 0.11 for a, b in pairwise(y))  # down the screen
    shown.value(f"{button}.click()")
    assert heights(shown) == first


def test_without_smoothing_the_mean_is_the_curve(shown):
    shown.value("slider.value = 0, slider.oninput()")
    assert shown.value(
        f"{LOSS}.querySelector('polyline.bold').getAttribute('points') ==="
        f"{LOSS}.querySelector('polyline.raw').getAttribute('points')"
    )
    shown.value("slider.value = 0.8, slider.oninput()")


def test_points_and_anchor_are_drawn_with_the_bd_rate_over_steps(shown):
    assert shown.value("document.querySelectorAll('#curves .curve').length") == 3  # x265, steps 10 and 20
    titles = shown.value("[...document.querySelectorAll('#history h3')].map((h) => h.firstChild.textContent)")
    assert titles == ["Live BD-rate (%), lower is better", "Gain at the same rate (dB), higher is better"]
    assert shown.value("document.querySelectorAll('#history .panel')[0].querySelectorAll('svg circle').length") == 2


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_nothing_is_wider_than_the_window(shown, width, scheme):
    shown.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    shown.resize(width, 800)
    shown.until(f"document.documentElement.scrollWidth <= {width}")
    ground = shown.value("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(18, 22, 29)" if scheme == "dark" else "rgb(255, 255, 255)")


def until_loaded(shown, condition: str) -> None:
    """Wait for ``condition``; while the page is being loaded the browser answers with errors."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if shown.value(f"document.body?.dataset.ready === 'true' && ({condition})"):
                return
        except AssertionError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"never true: {condition}")


def test_what_was_chosen_outlives_loading_the_page_again(run, shown):
    out, made, trainer = run
    shown.value("slider.value = 0.5, slider.oninput()")
    shown.value(f"{LOSS}.querySelector('h3 button').click()")
    shown.click("#curves .legend button")
    scale = shown.value(f"{LOSS}.querySelector('h3 button').textContent")
    log(out, 40)
    trainer.global_step = 40
    made.on_train_start(trainer, LightningModule())  # a resume
    shown.value("again(), true")
    until_loaded(shown, "data.lines[0].series[0].points.length === 40")
    assert shown.value("slider.value") == "0.5"
    assert shown.value(f"{LOSS}.querySelector('h3 button').textContent") == scale
    assert shown.value("document.querySelector('#curves .legend button').getAttribute('aria-pressed')") == "false"


def test_the_page_of_a_run_that_goes_on_loads_itself_again_until_the_end(tmp_path):
    made, trainer = begun(tmp_path, every=2)
    with page(find_browser(), tmp_path / "profile") as window:
        window.open(tmp_path / "run.html")
        until_loaded(window, "document.title === 'a run: running'")
        trainer.global_step = 100
        made.on_train_end(trainer, None)
        until_loaded(window, "document.title === 'a run: finished'")
        assert window.value("document.body.dataset.going") == "false"  # so that nothing loads it any more
