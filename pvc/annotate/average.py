"""The mean map of everybody who painted a clip, and the clip coded by it: what a study compares with the baseline."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvc.annotate.agreement import average
from pvc.annotate.clip import Clip
from pvc.annotate.export import write_mask, write_source
from pvc.annotate.maps import Values, write_values
from pvc.annotate.records import Painted
from pvc.annotate.reencode import EncodeResult, reencode
from pvc.annotate.validate import flags
from pvc.errors import DataError

Step = Callable[[str, float], None]


@dataclass(frozen=True)
class Mean:
    """The mean map of a clip (uint8 ``[T, h, w]``), and how many people it is of."""

    clip: Clip
    values: Values
    people: int


def means(painted: Sequence[Painted], rules: Mapping[str, Any]) -> dict[str, Mean]:
    """The mean map of each clip, of the sessions that break none of ``rules``; clips without such a one are left out.

    Raises:
        DataError: no session counts.
    """
    counted: dict[str, list[Values]] = {}
    clips = {one.clip.name: one.clip for one in painted}
    for one in painted:
        values = one.values()
        if values is not None and not flags(one, values, rules):
            counted.setdefault(one.clip.name, []).append(values)
    if not counted:
        raise DataError(f"none of {len(painted)} sessions counts; pvc annotate validate says why")
    return {name: Mean(clips[name], average(maps), len(maps)) for name, maps in sorted(counted.items())}


def write_mean(mean: Mean, folder: Path) -> None:
    """``NAME.mkv`` and ``NAME.mask.mkv`` in ``folder``, as ``data=clips`` reads them."""
    write_source(mean.clip, folder / f"{mean.clip.name}.mkv")
    write_mask(mean.clip, mean.values, folder / f"{mean.clip.name}.mask.mkv")


def encode_mean(mean: Mean, painted: Path, baseline: Path, step: Callable[[float], None]) -> EncodeResult:
    """The clip coded by its mean map in the folder ``painted``, and the plain one in ``baseline``: ``NAME.mp4``.

    Where a browser does not play the codec, the real stream lies in the folder ``streams`` of each: beside the mp4 it
    would be taken for another clip.
    """
    clip = mean.clip
    mask = painted / f".{clip.name}.mean.mkv"
    write_values(mask, mean.values, clip.rate)
    try:
        result = reencode(clip, mask, painted / f"{clip.name}.mp4", step)
    finally:
        mask.unlink()
    shutil.copy(clip.folder / "baseline.mp4", baseline / f"{clip.name}.mp4")
    if (stream := clip.baseline["stream"]) != "baseline.mp4":
        for folder in (painted, baseline):
            (folder / "streams").mkdir(exist_ok=True)
        (painted / result.stream).replace(painted / "streams" / result.stream)
        shutil.copy(clip.folder / stream, baseline / "streams" / f"{clip.name}{stream.removeprefix('baseline')}")
    return result
