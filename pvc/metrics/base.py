"""What a metric family is: it starts one accumulator a clip, takes frames as they come, and gives :class:`Scores`."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from pvc.errors import ImportanceError, VideoError
from pvc.versions import versions


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


class Accumulator(Protocol):
    """Measures one clip from its frames, in memory that does not grow with their number."""

    def add(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> None:
        """Take the next frames: uint8 ``[B, 3, H, W]`` twice and the true mask ``[B, 1, H, W]``, None without one.

        Raises:
            VideoError, ImportanceError: the three do not belong together.
        """
        ...

    def scores(self) -> Scores:
        """The clip's scores, after its last frame."""
        ...

    def close(self) -> None:
        """Let go of processes and files, with or without scores. Harmless at any time, and twice."""
        ...


class Metric(ABC):
    """A metric family, a frozen dataclass of its settings. ``names`` are the values it can give."""

    names: Sequence[str]
    unrecorded: ClassVar[frozenset[str]] = frozenset()  # settings that do not decide the values
    libraries: ClassVar[tuple[str, ...]] = ()  # packages whose version may decide them, beyond rounding in pvc itself

    @abstractmethod
    def start(self) -> Accumulator:
        """A fresh accumulator for one clip."""

    def missing(self) -> str | None:
        """In one line what this family needs and this machine lacks; None if nothing. Cheap: loads nothing."""
        return None

    def fault(self) -> str | None:
        """In one line why this family has no values on this machine; None if it has. Loads all that it needs."""
        if reason := self.missing():
            return reason
        accumulator = self.start()
        accumulator.close()
        return accumulator.reason if isinstance(accumulator, Unavailable) else None

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the values, JSON-able: scores may be compared where it agrees."""
        settings = {name: value for name, value in vars(self).items() if name not in self.unrecorded}
        return {**settings, **({"libraries": versions(*self.libraries)} if self.libraries else {})}

    def __call__(self, reference: Tensor, decoded: Tensor, importance: Tensor | None = None) -> Scores:
        """Scores of whole clips: uint8 ``[T, 3, H, W]`` twice, by the true mask ``[T, 1, H, W]``."""
        accumulator = self.start()
        try:
            accumulator.add(reference, decoded, importance)
            return accumulator.scores()
        finally:
            accumulator.close()


@dataclass(frozen=True)
class Unavailable:
    """The accumulator of a family that cannot run: every value has ``reason`` instead."""

    names: Sequence[str]
    reason: str

    def add(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> None:
        """Only checks that the three belong together."""
        check_pair(reference, decoded, importance)

    def scores(self) -> Scores:
        """No value, one reason."""
        return Scores(unavailable=dict.fromkeys(self.names, self.reason))

    def close(self) -> None:
        """Nothing to let go of."""


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


def too_small(reference: Tensor, smallest: int) -> str | None:
    """Why frames ``[..., H, W]`` with a side below ``smallest`` pixels have no value; None for others."""
    height, width = reference.shape[-2:]
    if min(height, width) >= smallest:
        return None
    return f"frames must be at least {smallest}x{smallest} pixels, the clip is {width}x{height}"
