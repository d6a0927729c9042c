"""Rows of crops as pictures for papers and as parts of the report."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from pvc.evaluation import style
from pvc.evaluation.crops import CropRow
from pvc.evaluation.sidebyside import MOST_BYTES
from pvc.page import data_url

_INCHES = 1.75  # side of a crop
_FRAME = "#e8590c"
_THUMBNAIL = 640  # pixels: most of a frame's width in the report


def draw(rows: Sequence[CropRow], out: Path) -> list[Path]:
    """``crops_SEQUENCE.png`` of each row: the frame with the place marked, and the crops beside it with their captions.

    Pixels are enlarged as they are, without interpolation. Files of an earlier run that no row replaces are deleted.
    """
    for old in out.glob("crops_*.png"):
        old.unlink()
    paths = []
    for row in rows:
        paths.append(out / f"crops_{row.sequence.replace('/', '_')}.png")
        with rc_context(style.RC | {"savefig.dpi": 300, "axes.grid": False}):
            _figure(row, paths[-1])
    return paths


def _figure(row: CropRow, path: Path) -> None:
    columns = _columns(len(row.crops))
    lines = math.ceil(len(row.crops) / columns)
    height, width = row.reference.shape[:2]
    tall = lines * (_INCHES + 0.68)
    wide = min(tall * width / height, 4.5)
    figure = style.figure(wide + columns * (_INCHES + 0.08), tall + 0.3)
    grid = figure.add_gridspec(lines, columns + 1, width_ratios=[wide, *[_INCHES] * columns])
    whole = figure.add_subplot(grid[:, 0])
    _picture(whole, row.reference, f"{row.sequence}, frame {row.frame}")
    whole.add_patch(Rectangle((row.left, row.top), row.size, row.size, fill=False, edgecolor=_FRAME, linewidth=1.8))
    for i, crop in enumerate(row.crops):
        axes = figure.add_subplot(grid[i // columns, 1 + i % columns])
        _picture(axes, crop.pixels, crop.title)
        caption = "\n".join(filter(None, (crop.rate, crop.score)))
        axes.set_xlabel(caption, fontsize=7.5, color=style.WARNING if crop.far else style.FAINT)
    said = textwrap.fill(". ".join(filter(None, (row.why, row.note))), 62)
    whole.set_xlabel(said, loc="left", fontsize=7.5, color=style.FAINT)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.04)  # names and captions may be wider than a crop


def _columns(count: int) -> int:
    """How many crops stand in a row, so that rows are about equally long."""
    return min(count, 4) if count <= 4 else math.ceil(count / math.ceil(count / 4))


def _picture(axes: Axes, pixels: np.ndarray, title: str) -> None:
    axes.imshow(pixels, interpolation="nearest")
    axes.set_anchor("N")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=8.5)


def for_report(rows: Sequence[CropRow]) -> tuple[list[dict[str, Any]], int]:
    """What the report's template shows of the rows, and how many were left out for their size.

    Pictures are data URLs (crops without loss), places are in percent of the frame.
    """
    found, room = [], MOST_BYTES
    for row in rows:
        if room <= 0:
            break
        found.append(_shown(row))
        room -= sum(len(crop["image"]) for crop in found[-1]["crops"]) * 3 // 4  # base64 takes four bytes for three
    return found, len(rows) - len(found)


def _shown(row: CropRow) -> dict[str, Any]:
    height, width = row.reference.shape[:2]
    small = Image.fromarray(row.reference)
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return {
        "sequence": row.sequence,
        "frame": row.frame,
        "why": row.why,
        "note": row.note,
        "whole": data_url(small, "webp", quality=86),
        "width": small.width,
        "height": small.height,
        "place": [100 * v for v in (row.left / width, row.top / height, row.size / width, row.size / height)],
        "size": row.size,
        "columns": _columns(len(row.crops)),
        "crops": [
            {"title": c.title, "rate": c.rate, "score": c.score, "far": c.far}
            | {"image": data_url(Image.fromarray(c.pixels), "webp", lossless=True)}
            for c in row.crops
        ],
    }
