"""One frame of every job, kept as a picture for the side-by-side view of the report.

``out/frames/DATASET/SEQUENCE/``: ``reference.png``, ``mask.png`` and one high-quality JPEG a job, or a PNG where crops
are wanted.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from pvc.evaluation.records import Record

_FAST_PNG = {"compress_level": 1}  # a quarter of the time for a tenth more bytes


def middle(count: int) -> int:
    """Which frame of a clip is kept: the middle one, far from the first frame's extra bits."""
    return count // 2


def folder(out: Path, record: Record) -> Path:
    """Where the pictures of a record's sequence are."""
    return _folder(out, record.dataset, record.sequence)


def picture(out: Path, record: Record) -> Path:
    """Where the decoded frame of a record is."""
    point = "_".join(f"{k}{v:.6g}" for k, v in record.point.items())
    return folder(out, record) / f"{record.codec.replace('/', '_')}_{point}.jpg"


def pictures(out: Path, record: Record) -> list[Path]:
    """Where the decoded frame of a record may be: kept without loss, or else as JPEG."""
    small = picture(out, record)
    return [small.with_suffix(".png"), small]


def stream(out: Path, record: Record) -> Path:
    """Where the stream of a record is kept, in a run with ``keep_streams``."""
    own = picture(out, record)
    return out / "streams" / own.relative_to(out / "frames").with_suffix(".bin")


def save_stream(out: Path, record: Record, data: bytes) -> None:
    """Keep the very bytes that were decoded and measured."""
    path = stream(out, record)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def save(out: Path, record: Record, decoded: Tensor, lossless: bool = False) -> None:
    """Keep ``decoded`` (uint8 ``[3, H, W]``), the middle frame of a job."""
    exact, small = pictures(out, record)
    if lossless:
        _write(decoded, exact, **_FAST_PNG)
    else:
        exact.unlink(missing_ok=True)  # of an earlier run of the job
        _write(decoded, small, quality=95, subsampling=0)


def save_reference(out: Path, dataset: str, sequence: str, frame: Tensor, mask: Tensor | None) -> None:
    """Keep the middle frame (uint8 ``[3, H, W]``) of a sequence and its mask (``[1, H, W]``)."""
    where = _folder(out, dataset, sequence)
    if mask is not None:
        _write((mask * 255).round().byte(), where / "mask.png")
    _write(frame, where / "reference.png", **_FAST_PNG)


def _folder(out: Path, dataset: str, sequence: str) -> Path:
    return out / "frames" / dataset.replace("/", "_") / sequence.replace("/", "_")


def _write(frame: Tensor, path: Path, **options: int) -> None:
    """Write a picture whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = frame.permute(1, 2, 0).numpy()
    image = Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array))
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    image.save(unfinished, **options)
    unfinished.replace(path)
