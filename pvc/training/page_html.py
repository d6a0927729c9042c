"""The page of a run as HTML: what its folder holds, and what its callback knows."""

from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from pvc.page import data_url, render
from pvc.training.page_data import comparison, lines, picture_steps
from pvc.training.page_history import RESUMED, STARTED, History
from pvc.training.page_live import AnchorCurve
from pvc.training.page_log import read_log

_WIDEST = 1600  # pixels of a picture in the page


def page_html(
    out: Path,
    history: History,
    anchor: AnchorCurve,
    pictures: dict[int, dict[str, Any]],
    *,
    name: str,
    facts: list[tuple[str, str]],
    progress: str,
    **rest: Any,
) -> str:
    """The page of the run in ``out``.

    Args:
        anchor: what validation is compared with.
        pictures: those that were shown before, which are not read again; becomes those that are shown now.
        name: of the run. facts: pairs of heading and text. progress: of a run that goes on.
        rest: ``every`` and ``config`` of the callback.
    """
    logged, last = read_log(out / "logs"), history.events[-1]
    going = last.what in (STARTED, RESUMED)
    skipped = logged.columns.get("train/skipped", [(0, 0)])[-1][1]
    compared = comparison(logged, anchor, name)
    chart = {"lines": lines(logged), "resumed": [e.step for e in history.events if e.what == RESUMED]}
    _look(out / "pictures", pictures)
    return render(
        "pvc.training",
        "page.html.j2",
        styles=["base.css", "page.css"],
        scripts=["svg.js", "rd_chart.js", "line_chart.js", "page.js"],
        name=name,
        state="running" if going else last.what,
        going=going,
        progress=progress if going else f"{last.what} at step {last.step:,}",
        facts=[*_headlines(compared), *facts, *([("skipped steps", f"{skipped:g}")] if skipped else [])],
        history=history.told,
        written=datetime.now().astimezone(),
        chart=chart | {"compared": compared and {k: compared[k] for k in ("rd", "bd", "gains")}},
        compared=compared,
        pictures=[{"step": step, **picture} for step, picture in pictures.items()],
        **rest,
    )


def _headlines(compared: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The BD-rates there are."""
    there = [s for s in compared["latest"]["standings"] if s["percent"] is not None] if compared else []
    return [(f"live BD-rate, {s['name']}", f"{s['percent']:+.1f} % against {compared['anchor']}") for s in there]


def _look(folder: Path, pictures: dict[int, dict[str, Any]]) -> None:
    """Bring ``pictures`` up to date; each is read once."""
    steps = picture_steps([p.name for p in folder.iterdir()] if folder.is_dir() else [])
    found = {step: pictures.get(step) or _picture(folder / f"step={step}.png") for step in steps}
    pictures.clear()
    pictures.update(found)


def _picture(path: Path) -> dict[str, Any]:
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((_WIDEST, 10**6))
    return {"image": data_url(small, quality=85), "width": small.width, "height": small.height}
