"""Which decoded frames the report shows beside each other, as pictures that a page can embed.

They are embedded as WebP of high quality, which takes a tenth of the PNG: good for looking, not for measuring.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pvc.evaluation import frames
from pvc.evaluation.curves import curve_keys, key_of, twins, without_roi
from pvc.evaluation.records import Record, point_label
from pvc.evaluation.style import shown
from pvc.evaluation.tables import decimals
from pvc.metrics.axes import axis, in_order
from pvc.page import data_url

OUTLINE = (255, 64, 64)
REFERENCE_QUALITY, QUALITY = 92, 86
"""Of WebP, for the reference and for decoded frames."""
MOST_BYTES = 6_000_000
"""Of all pictures; scenes that do not fit any more are left out."""


SIMILAR = 0.25
"""Largest share by which a rate may differ from the first codec's and still be called similar."""


@dataclass
class View:
    """One picture with its caption; ``warning`` says that its rate is not similar to that of the first codec."""

    title: str
    caption: str
    scores: str
    image: str  # data URL
    warning: str = ""


@dataclass
class Scene:
    """One sequence: reference and codecs at the nearest rates; ``outline`` is the mask's edge on nothing."""

    sequence: str
    width: int
    height: int
    frame: int
    views: list[View]
    outline: str | None


def scenes(records: Sequence[Record], anchor: str, folders: Sequence[Path]) -> tuple[list[Scene], int]:
    """A scene for each sequence whose pictures are in one of ``folders``, and how many were left out for their size.

    The anchor shows its operating point next to the middle of the rates that all curves cover (of its own rates, where
    they have none in common); every other codec shows the point next to the anchor's, and says so if that is far off.
    """
    found, room, left_out = [], MOST_BYTES, 0
    for dataset, sequence in dict.fromkeys((r.dataset, r.sequence) for r in records):
        own = [r for r in records if (r.dataset, r.sequence) == (dataset, sequence)]
        reference = first_there(frames.folder(f, own[0]) / "reference.png" for f in folders)
        if reference is None:
            continue
        if room <= 0:
            left_out += 1
            continue
        found.append(_scene(own, anchor, folders, reference))
        room -= sum(len(view.image) for view in found[-1].views) * 3 // 4  # base64 takes four bytes for three
    return found, left_out


def first_there(paths: Iterable[Path]) -> Path | None:
    """The first that exists."""
    return next((path for path in paths if path.exists()), None)


@dataclass
class Shown:
    """A codec at the operating point that stands for it beside the others.

    Attributes:
        title: Name of its curve, and of those that are the very same.
        picture: Its decoded frame.
        more: Share of bits more than the first codec's; None for that one itself.
    """

    title: str
    record: Record
    picture: Path
    more: float | None

    @property
    def far(self) -> bool:
        """Whether its rate is not similar to the first codec's."""
        return self.more is not None and abs(self.more) > SIMILAR


def at_like_rates(records: list[Record], anchor: str, folders: Sequence[Path]) -> list[Shown]:
    """The codecs of one sequence whose pictures there are, the anchor (or the first codec in its place) first.

    The anchor shows its point next to the middle of the rates that all curves cover, the others that next to its rate.
    """
    keys, same = shown(curve_keys(records)), twins(records)
    anchor_key = without_roi(anchor, keys) or next((key for key in keys if key.codec == anchor), None)
    anchor_key = same.get(anchor_key, anchor_key)
    keys = [key for key in keys if key not in same]  # one picture for what is one codec under two names
    keys.sort(key=lambda k: k != anchor_key)
    curves = {key: [r for r in records if key_of(r) == key] for key in keys}
    anchor_rate = _nearest(curves[keys[0]], similar_rate([[r.bpp for r in curve] for curve in curves.values()])).bpp
    found = []
    for key, curve in curves.items():
        record = _nearest(curve, anchor_rate)
        picture = first_there(path for f in folders for path in frames.pictures(f, record))
        if picture is not None:
            title = ", ".join(k.label for k in (key, *(twin for twin, own in same.items() if own == key)))
            title += " (anchor)" if key == anchor_key else ""
            found.append(Shown(title, record, picture, None if key == keys[0] else record.bpp / anchor_rate - 1))
    return found


def _scene(records: list[Record], anchor: str, folders: Sequence[Path], reference: Path) -> Scene:
    first = records[0]
    views = [View("Reference", first.sequence, "", _embedded(reference, REFERENCE_QUALITY))]
    views += [_view(codec) for codec in at_like_rates(records, anchor, folders)]
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


def _view(codec: Shown) -> View:
    record = codec.record
    metrics = [m for m in in_order(set(record.metrics)) if m in ("psnr", "psnr_roi", "psnr_bg", "vmaf", "lpips")]
    scores = " · ".join(f"{axis(m).title} {record.metrics[m]:.{decimals(m, [record.metrics[m]])}f}" for m in metrics)
    than = "" if codec.more is None else f" ({codec.more:+.0%})"
    caption = f"{record.bpp:.4f} bpp{than}, {record.kbps:.0f} kbit/s at {point_label(record.point)}"
    warning = f"No point within {SIMILAR:.0%} of the anchor's rate: this is no comparison at equal rate"
    return View(codec.title, caption, scores, _embedded(codec.picture, QUALITY), warning if codec.far else "")


def _embedded(path: Path, quality: int) -> str:
    """The picture as WebP in a data URL."""
    with Image.open(path) as image:
        return data_url(image.convert("RGB"), quality=quality)


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
    return data_url(Image.fromarray(rgba), "png", optimize=True)
