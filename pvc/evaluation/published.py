"""Rate-distortion curves that others published, read from the JSON files of CompressAI's results folder.

    {"name": "x265-medium", "description": "...", "results": {"bitrate": [...], "psnr-rgb": [...], ...}}

Lists of equal length, one entry an operating point. The rate is ``bitrate`` in kbit/s or ``bpp`` in bits per pixel. The
numbers are means over a data set, so such a curve can only stand beside mean curves of that data set.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvc.errors import ConfigError
from pvc.evaluation.curves import PUBLISHED, CurveKey
from pvc.evaluation.records import Record

_RATES = {"bitrate": "kbps", "bpp": "bpp"}
_METRICS = {
    "psnr-rgb": "psnr",
    "psnr": "psnr",
    "psnr-y": "psnr_y",
    "ms-ssim-rgb": "ms_ssim",
    "ms-ssim": "ms_ssim",
    "vmaf": "vmaf",
    "lpips": "lpips",
    "dists": "dists",
}
"""CompressAI's names of metrics, and ours for the same thing. Its ``psnr-yuv`` weighs 4:1:1 and has no counterpart."""


@dataclass(frozen=True)
class Published:
    """One published curve.

    Attributes:
        dataset: Compared with records of the data set of that name, whatever the case of its letters.
        name: What its authors call it.
        source: Description and file.
        rate: Field of a record that is comparable with its rates: ``"bpp"`` or ``"kbps"``.
        curves: (rate, value) of each metric, by rate.
    """

    dataset: str
    name: str
    source: str
    rate: str
    curves: dict[str, list[tuple[float, float]]]

    @property
    def key(self) -> CurveKey:
        """Its key among the curves of a comparison; the name says that it is published."""
        return CurveKey(self.name + PUBLISHED, None)


def load_published(path: str | Path) -> list[Published]:
    """The curve of a file, or those of all ``*.json`` of a folder.

    The data set is the file's ``dataset``; without one, what stands before ``-NAME.json`` in the file's name; else the
    folder's name, as in CompressAI's ``results/video/UVG-1080p/NAME.json``.

    Raises:
        ConfigError: the file is not there or not of that format.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"published: {path} does not exist; give a JSON file of results, or a folder of them")
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(f"published: {path} holds no .json file")
    return [_load(file) for file in files]


def load_all_published(paths: Iterable[str | Path]) -> list[Published]:
    """The curves of several files or folders. Raises ``ConfigError``, also for two curves of one name and data set."""
    found: dict[tuple[str, str], Published] = {}
    for curve in (c for path in paths for c in load_published(path)):
        other = found.setdefault((curve.dataset.casefold(), curve.name), curve)
        if other.curves != curve.curves:
            raise ConfigError(
                f"published: two different curves are called {curve.name} on {curve.dataset} ({other.source}; "
                f"{curve.source}); leave one out"
            )
    return list(found.values())


def _load(file: Path) -> Published:
    try:
        content = json.loads(file.read_text())
        name, results = str(content["name"]), dict(content["results"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"published: {file} is not in CompressAI's format, an object with name and results ({error!r})"
        ) from None
    rate = next((key for key in _RATES if key in results), None)
    if rate is None:
        raise ConfigError(f"published: {file} has no rate; its results need bitrate (kbit/s) or bpp")
    rates = _numbers(file, rate, results[rate], None)
    curves = {}
    for theirs, ours in _METRICS.items():
        if theirs in results and ours not in curves:
            curves[ours] = sorted(zip(rates, _numbers(file, theirs, results[theirs], len(rates)), strict=True))
    if not curves:
        raise ConfigError(f"published: {file} has no metric that is known here; known are {', '.join(_METRICS)}")
    head = file.stem.removesuffix(name).rstrip("-_") if file.stem.endswith(name) else ""
    dataset = content.get("dataset") or head or file.resolve().parent.name
    source = f"{content['description']}, {file.name}" if content.get("description") else file.name
    return Published(dataset, name, source, _RATES[rate], curves)


def _numbers(file: Path, key: str, values: Any, count: int | None) -> list[float]:
    """``values`` if they are ``count`` (any number if None) finite numbers."""
    if not isinstance(values, list) or not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise ConfigError(f"published: {file}: {key} is not a list of numbers")
    if count is not None and len(values) != count:
        raise ConfigError(f"published: {file}: {key} has {len(values)} values where the rate has {count}")
    return [float(v) for v in values]


def per_pixel(curve: Published, records: Iterable[Record]) -> dict[str, list[tuple[float, float]]] | None:
    """The curves of ``curve`` over bits per pixel.

    None where its rates are in kbit/s and ``records`` of its data set do not agree on pixels a second.
    """
    if curve.rate == "bpp":
        return curve.curves
    speeds = {r.width * r.height * r.fps for r in records if r.dataset.casefold() == curve.dataset.casefold()}
    if len(speeds) != 1:
        return None
    factor = 1000 / speeds.pop()
    return {m: [(rate * factor, value) for rate, value in points] for m, points in curve.curves.items()}
