"""What a metric gives back."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pvc.errors import ImportanceError, VideoError


@dataclass
class Scores:
    """Values of one metric family on one clip.

    Attributes:
        values: Metric name to value; always finite.
        unavailable: Metric name to the reason why it has no value.
        notes: Metric name to something that a reader of its value should know.
    """

    values: dict[str, float] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def merge(cls, parts: Iterable["Scores"]) -> "Scores":
        """One ``Scores`` with the entries of all ``parts``."""
        out = cls()
        for part in parts:
            out.values |= part.values
            out.unavailable |= part.unavailable
            out.notes |= part.notes
        return out


def check_pair(reference: Tensor, decoded: Tensor, importance: Tensor | None) -> None:
    """Raise where clips (uint8 ``[T, 3, H, W]``) or map (``[T, 1, H, W]``) do not belong together.

    Raises:
        VideoError: the clips differ in size or length, or are not uint8 RGB.
        ImportanceError: the map has another size or length than the clips.
    """
    for what, clip in (("reference", reference), ("decoded", decoded)):
        if clip.dtype != torch.uint8 or clip.ndim != 4 or clip.shape[1] != 3:
            raise VideoError(f"the {what} clip is {clip.dtype} {list(clip.shape)}; metrics take uint8 [T, 3, H, W]")
    if reference.shape != decoded.shape:
        raise VideoError(
            f"reference {list(reference.shape)} and decoded {list(decoded.shape)} differ in size or length"
        )
    expected = (len(reference), 1, *reference.shape[-2:])
    if importance is not None and tuple(importance.shape) != expected:
        raise ImportanceError(f"the mask is {list(importance.shape)}, its clip needs {list(expected)}")
