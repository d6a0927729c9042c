"""Enlarged crops of the codecs beside each other at like rates, as figure 8 of the CPVC paper (Li 2024)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pvc.errors import ConfigError
from pvc.evaluation import frames
from pvc.evaluation.records import Record
from pvc.evaluation.sidebyside import Shown, at_like_rates, first_there
from pvc.metrics import Metric, check_available, load_metrics
from pvc.metrics.axes import axis

WHOLE = ("vmaf", "fid_kid", "psnr_mse", "brisque", "blur")
"""Families that say nothing of one crop beside the same crop of the source."""


@dataclass(frozen=True)
class CropSettings:
    """What crops are made.

    Attributes:
        metric: Names of ``configs/metric`` (or ``{name: settings}``); the first that this machine can measure says how
            good a crop is, and where it is taken.
        places: Left and top in pixels, by sequence; of the other sequences it is where a codec gains most over the
            anchor in the metric.
        codec: Name (or names) of the codec whose gain that is; None, or where none of them was run: whichever gains
            most.
        size: Side of the square in pixels; None: two fifths of the frame's shorter side.
        device: Where networks of metrics run. weights_dir: Folder with weights, searched first.
    """

    metric: Sequence[Any] = ("lpips", "ssim")
    places: Mapping[str, Sequence[int]] = field(default_factory=dict)
    codec: str | Sequence[str] | None = None
    size: int | None = None
    device: str = "cpu"
    weights_dir: str | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any] | None, **places: Any) -> "CropSettings | None":
        """From a configuration; None for none. Raises ``ConfigError`` for what is no setting or makes no sense."""
        if settings is None:
            return None
        own = [f.name for f in fields(cls) if f.name not in places]
        if unknown := [str(key) for key in settings if key not in own]:
            raise ConfigError(f"crops has no setting {', '.join(unknown)}; it has {', '.join(own)}")
        made = cls(**{key: value for key, value in settings.items() if value is not None}, **places)
        if made.size is not None and (not isinstance(made.size, int) or made.size < 16):
            raise ConfigError(f"crops.size={made.size}: must be a number of pixels from 16, or null")
        for sequence, place in made.places.items():
            if len(place) != 2 or not all(isinstance(v, int) and v >= 0 for v in place):
                raise ConfigError(f"crops.places.{sequence}={place}: must be left and top in pixels, such as [120, 40]")
        made.measure()
        return made

    def check(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Raise ``ConfigError`` where a place is of none of the sequences, or outside its frame of ``sizes`` (H, W)."""
        for sequence in self.places:
            if sequence not in sizes:
                raise ConfigError(f"crops.places names {sequence}; the sequences are {', '.join(sorted(sizes))}")
            self.box(sequence, *sizes[sequence])

    def box(self, sequence: str, height: int, width: int) -> tuple[int, int | None, int | None]:
        """Size of the crop, and left and top of the place that was chosen by hand; None and None where none was.

        Raises:
            ConfigError: the place lies outside the frame.
        """
        size = min(self.size or 2 * min(height, width) // 5, height, width)
        if sequence not in self.places:
            return size, None, None
        left, top = self.places[sequence]
        if top + size > height or left + size > width:
            raise ConfigError(f"crops.places.{sequence}: {size} pixels at {left}, {top} leave the {width}x{height}")
        return size, left, top

    def measure(self) -> Metric:
        """The first metric that can be measured. Raises ``ConfigError``: none can, or one is no metric of a crop."""
        names = [self.metric] if isinstance(self.metric, str) else list(self.metric)
        found = load_metrics(names, device=self.device, weights_dir=self.weights_dir)
        for name in (next(iter(name)) if isinstance(name, Mapping) else name for name in names):
            if name.startswith(WHOLE):
                raise ConfigError(f"crops.metric={name} is no metric of a single crop; take lpips, ssim or psnr")
        missing = check_available(found)
        for metric in found:
            if metric.names[0] not in missing:
                return metric
        raise ConfigError(f"crops.metric: none can be measured: {'; '.join(dict.fromkeys(missing.values()))}")


@dataclass
class Crop:
    """One picture of a row: ``pixels`` uint8 ``[h, w, 3]``; rate and score are empty for the reference.

    ``far``: the rate is not like the anchor's.
    """

    title: str
    pixels: np.ndarray
    rate: str = ""
    score: str = ""
    far: bool = False


@dataclass
class CropRow:
    """The crops of one sequence.

    Attributes:
        reference: The whole frame, uint8 ``[H, W, 3]``. left, top, size: The crop in it, in pixels.
        why: How the place was chosen. note: What a reader should know of the pictures, empty for nothing.
    """

    dataset: str
    sequence: str
    frame: int
    reference: np.ndarray
    left: int
    top: int
    size: int
    crops: list[Crop]
    why: str
    note: str = ""


def crop_rows(
    records: Sequence[Record], anchor: str, folders: Sequence[Path], settings: CropSettings
) -> Iterator[CropRow]:
    """The crops of each sequence whose pictures are in one of ``folders``.

    Raises:
        ConfigError: a place lies outside its frame.
    """
    metric = settings.measure()
    name = metric.names[0]
    wanted = {settings.codec} if isinstance(settings.codec, str) else {*(settings.codec or ())}
    for dataset, sequence in dict.fromkeys((r.dataset, r.sequence) for r in records):
        own = [r for r in records if (r.dataset, r.sequence) == (dataset, sequence)]
        file = first_there(frames.folder(f, own[0]) / "reference.png" for f in folders)
        codecs = at_like_rates(own, anchor, folders)
        if file is None or len(codecs) < 2:
            continue
        reference, decoded = _pixels(file), [_pixels(codec.picture) for codec in codecs]
        size, left, top = settings.box(sequence, *reference.shape[:2])
        why = "Place chosen by hand"
        if left is None:
            (left, top), winner = _largest_gain(metric, reference, decoded, size, codecs, wanted)
            why = f"Where {winner} gains most over {codecs[0].title.removesuffix(' (anchor)')} in {axis(name).title}"
        here = slice(top, top + size), slice(left, left + size)
        row = [Crop("Reference", reference[here])]
        for codec, picture in zip(codecs, decoded, strict=True):
            value = _score(metric, reference[here], picture[here])
            score = "" if value is None else f"{axis(name).title} {value:.{2 if abs(value) >= 1 else 4}f}"
            rate = f"{codec.record.bpp:.4f} bpp" + ("" if codec.more is None else f" ({codec.more:+.0%})")
            row.append(Crop(codec.title, picture[here], rate, score, codec.far))
        lossy = [codec.title for codec in codecs if codec.picture.suffix == ".jpg"]
        note = f"From pictures that were kept as JPEG of quality 95: {', '.join(lossy)}" if lossy else ""
        frame = frames.middle(own[0].frames) + 1
        yield CropRow(dataset, sequence, frame, reference, left, top, size, row, why, note)


def _largest_gain(
    metric: Metric,
    reference: np.ndarray,
    decoded: Sequence[np.ndarray],
    size: int,
    codecs: Sequence[Shown],
    wanted: Collection[str],
) -> tuple[tuple[int, int], str]:
    """Left and top of the crop (in steps of half its size) that a codec is furthest ahead of the first one in.

    Returns:
        The place, and the codec's name.
    """
    scale, sign = axis(metric.names[0]).scale, 1 if axis(metric.names[0]).higher_is_better else -1
    mine = [i for i, c in enumerate(codecs) if i and c.record.codec in wanted] or range(1, len(codecs))
    best, gain = ((0, 0), 1), -np.inf
    for top in _starts(reference.shape[0], size):
        for left in _starts(reference.shape[1], size):
            here = slice(top, top + size), slice(left, left + size)
            anchor = _score(metric, reference[here], decoded[0][here])
            for i in mine:
                value = _score(metric, reference[here], decoded[i][here])
                if None not in (anchor, value) and (more := sign * (scale(value) - scale(anchor))) > gain:
                    best, gain = ((left, top), i), more
    return best[0], codecs[best[1]].title


def _starts(length: int, size: int) -> list[int]:
    return sorted({*range(0, length - size + 1, max(size // 2, 1)), length - size})


def _score(metric: Metric, reference: np.ndarray, decoded: np.ndarray) -> float | None:
    """The metric's value for one crop; None where it has none (a crop too small for it)."""
    return metric(_clip(reference), _clip(decoded)).values.get(metric.names[0])


def _clip(pixels: np.ndarray) -> Tensor:
    """uint8 ``[1, 3, h, w]``."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]


def _pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.array(image.convert("RGB"))
