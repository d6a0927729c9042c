"""Which decoded frames the report shows beside each other, as pictures that a page can embed."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pvc.evaluation import frames
from pvc.evaluation.axes import axis, in_order
from pvc.evaluation.curves import CurveKey, curve_keys, without_roi
from pvc.evaluation.records import Record, point_label
from pvc.evaluation.style import shown

OUTLINE = (255, 64, 64)


@dataclass
class View:
    """One picture with its caption."""

    title: str
    caption: str
    scores: str
    image: str  # data URL


@dataclass
class Scene:
    """One sequence: reference and codecs at similar rate; ``outline`` is a transparent picture of the mask's edge."""

    sequence: str
    width: int
    height: int
    frame: int
    views: list[View]
    outline: str | None


def scenes(records: Sequence[Record], anchor: str, out: Path) -> list[Scene]:
    """A scene for each sequence whose pictures are there.

    The anchor shows its operating point next to the middle of the rates that all curves cover (of its own rates, where
    they have none in common); every other codec shows the point next to the anchor's.
    """
    found = []
    for dataset, sequence in dict.fromkeys((r.dataset, r.sequence) for r in records):
        own = [r for r in records if (r.dataset, r.sequence) == (dataset, sequence)]
        reference = frames.folder(out, own[0]) / "reference.png"
        if reference.exists():
            found.append(_scene(own, anchor, out, reference))
    return found


def _scene(records: list[Record], anchor: str, out: Path, reference: Path) -> Scene:
    first = records[0]
    keys = shown(curve_keys(records))
    anchor_key = without_roi(anchor, keys)
    keys.sort(key=lambda k: k != anchor_key)
    curves = {key: [r for r in records if (r.codec, r.u_alpha) == key] for key in keys}
    middle_rate = similar_rate([[r.bpp for r in curve] for curve in curves.values()])
    anchor_rate = _nearest(curves[keys[0]], middle_rate).bpp
    views = [View("Reference", first.sequence, "", _data_url(reference))]
    for key, curve in curves.items():
        record = _nearest(curve, anchor_rate)
        picture = frames.picture(out, record)
        if picture.exists():
            views.append(_view(key, record, picture, None if key == keys[0] else record.bpp / anchor_rate - 1))
    mask = reference.with_name("mask.png")
    outline = _outline(mask) if mask.exists() else None
    return Scene(first.sequence, first.width, first.height, frames.middle(first.frames) + 1, views, outline)


def similar_rate(curves: Sequence[Sequence[float]]) -> float:
    """Geometric middle of the rates that all curves cover; of the first curve's where they have none in common."""
    low, high = max(min(c) for c in curves), min(max(c) for c in curves)
    if low > high:
        low, high = min(curves[0]), max(curves[0])
    return math.sqrt(low * high)


def _nearest(curve: Sequence[Record], rate: float) -> Record:
    return min(curve, key=lambda r: abs(math.log(r.bpp / rate)))


def _view(key: CurveKey, record: Record, picture: Path, more: float | None) -> View:
    """The view of ``record``, which takes ``more`` bits than the anchor (a share), or is the anchor's (None)."""
    metrics = [m for m in in_order(set(record.metrics)) if m in ("psnr", "psnr_roi", "psnr_bg")]
    scores = " · ".join(f"{axis(m).title} {record.metrics[m]:.2f}" for m in metrics)
    than = "" if more is None else f" ({more:+.0%})"
    caption = f"{record.bpp:.4f} bpp{than}, {record.kbps:.0f} kbit/s at {point_label(record.point)}"
    return View(f"{key.label}{' (anchor)' if more is None else ''}", caption, scores, _data_url(picture))


def _data_url(path: Path) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _outline(path: Path) -> str:
    """Edge of the ROI (importance from 0.5), two pixels wide outside of it, as a transparent PNG."""
    roi = np.asarray(Image.open(path)) >= 128
    padded = np.pad(roi, 2)
    grown = np.zeros_like(roi)
    height, width = roi.shape
    for dy in range(5):
        for dx in range(5):
            grown |= padded[dy : dy + height, dx : dx + width]
    rgba = np.zeros((*roi.shape, 4), np.uint8)
    rgba[grown & ~roi] = (*OUTLINE, 255)
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
