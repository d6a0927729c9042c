"""One frame of every job, kept as a picture for the side-by-side view of the report.

``out/frames/DATASET/SEQUENCE/``: ``reference.png``, ``mask.png`` and one high-quality JPEG a job.
"""

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
    return out / "frames" / record.dataset.replace("/", "_") / record.sequence.replace("/", "_")


def picture(out: Path, record: Record) -> Path:
    """Where the decoded frame of a record is."""
    point = "_".join(f"{k}{v:.6g}" for k, v in record.point.items())
    return folder(out, record) / f"{record.codec.replace('/', '_')}_{point}.jpg"


def save(out: Path, record: Record, clip: Tensor, decoded: Tensor, mask: Tensor | None) -> None:
    """Keep the middle frame of ``decoded``, and once that of ``clip`` (both uint8 ``[T, 3, H, W]``) and ``mask``."""
    t, where = middle(len(clip)), folder(out, record)
    where.mkdir(parents=True, exist_ok=True)
    if not (where / "reference.png").exists():
        _image(clip[t]).save(where / "reference.png")
        if mask is not None:
            _image((mask[t] * 255).round().byte()).save(where / "mask.png")
    _image(decoded[t]).save(picture(out, record), quality=95, subsampling=0)


def _image(frame: Tensor) -> Image.Image:
    array = frame.permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array))
