"""One frame of every job, kept as a picture for the side-by-side view of the report.

``out/frames/DATASET/SEQUENCE/``: ``reference.png``, ``mask.png`` and one high-quality JPEG a job.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from pvc.evaluation.records import Record


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


def save(out: Path, record: Record, decoded: Tensor) -> None:
    """Keep ``decoded`` (uint8 ``[3, H, W]``), the middle frame of a job."""
    _write(decoded, picture(out, record), quality=95, subsampling=0)


def save_reference(out: Path, dataset: str, sequence: str, frame: Tensor, mask: Tensor | None) -> None:
    """Keep the middle frame (uint8 ``[3, H, W]``) of a sequence and its mask (``[1, H, W]``)."""
    where = _folder(out, dataset, sequence)
    if mask is not None:
        _write((mask * 255).round().byte(), where / "mask.png")
    _write(frame, where / "reference.png", compress_level=1)  # a quarter of the time for a tenth more bytes


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
