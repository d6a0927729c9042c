"""Maps of some frames of a clip make those of the others: each is carried on along the optical flow."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from numpy import int16
from numpy.typing import NDArray
from torch import Tensor

from pvc.errors import ConfigError, ImportanceError, VideoError
from pvc.importance.annotation import Annotation
from pvc.importance.flow import Farneback
from pvc.importance.propagate import FRAMES, Decay, warp
from pvc.video.images import SUFFIXES, list_images


def between_keyframes(
    keyframes: Mapping[int, Tensor],
    flows: Iterable[NDArray[int16] | None],
    decay: Decay | None = None,
    rest: float = 0.0,
) -> Iterator[Tensor]:
    """The map of each frame of a clip, from maps of some of them: each is carried on until the next one.

    Args:
        keyframes: float32 ``[1, H, W]`` in [0, 1] by frame number, at least one.
        flows: of all frames but the first; those for which :func:`in_reach` is false are not looked at.
        decay, rest: as in :func:`propagate`. Frames before the first keyframe, and those after its reach, are ``rest``.

    Yields:
        float32 ``[1, H, W]`` in [0, 1], one more than there are flows.
    """
    decay = decay or Decay()
    nothing = torch.full_like(next(iter(keyframes.values())), rest)
    moved, age = keyframes.get(0, nothing), 0
    yield moved
    for t, flow in enumerate(flows, start=1):
        if t in keyframes:
            moved, age = keyframes[t], 0
        elif in_reach(t, keyframes, decay):
            moved, age = warp(moved, flow, rest), age + 1
        else:
            moved, age = nothing, 0
        yield (rest + (moved - rest) * decay.weight(age)).clamp(0, 1)


def in_reach(t: int, keyframes: Iterable[int], decay: Decay) -> bool:
    """Whether frame ``t`` is no keyframe, but has one at most ``decay.frames`` frames before it."""
    since = min((t - k for k in keyframes if k <= t), default=None)
    return since is not None and 0 < since <= decay.frames


@dataclass(frozen=True)
class Propagated(Annotation):
    """Maps of some frames (:class:`pvc.importance.annotation.Annotation`: pictures, palettes, objects), carried on.

    ``path`` is a folder of pictures whose names say their frames by their last number, from 0 (``0.png`` and
    ``30.png``, or ``map_00030.png``), or one picture; without a number it is frame 0. Pictures of frames that the clip
    does not have are an error; with ``length="cut"`` they are left out.

    Attributes:
        frames, decay: As in :class:`Decay`.
        rest: Importance where nothing was marked, and what marks fade to.
        flow: How the flow is computed.
    """

    name: str = "propagated"
    frames: int = FRAMES
    decay: str | float = "linear"
    rest: float = 0.0
    flow: Farneback = field(default_factory=Farneback)

    def __post_init__(self) -> None:
        super().__post_init__()
        Decay(self.frames, self.decay)
        if not 0 <= self.rest <= 1:
            raise ConfigError(f"{self.name}.rest = {self.rest}: must lie in [0, 1]")

    @property
    def meta(self) -> dict[str, Any]:
        """See :class:`pvc.importance.source.Source`."""
        return {**super().meta, "flow": asdict(self.flow), "keyframes": sorted(self._numbers())}

    def maps(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :class:`pvc.importance.source.Source`; one frame ahead.

        Raises:
            ImportanceError: a picture's size or number does not fit. DataError, VideoError: one cannot be read.
        """
        frames = iter(frames)
        if (first := next(frames, None)) is None:
            return
        decay = Decay(self.frames, self.decay)
        numbers = self._numbers()
        size = first.shape[-2:]
        keyframes = {t: self._fit(q, size) for t, q in zip(numbers, self._read(), strict=True)}
        flows = self.flow.flows(chain([first], frames), partial(in_reach, keyframes=numbers, decay=decay))
        count = 0
        for q in between_keyframes(keyframes, flows, decay, self.rest):
            count += 1
            yield q
        if max(numbers) >= count and self.length == "exact":
            raise ImportanceError(
                f"{self.path} has a map of frame {max(numbers)} but the clip has {count} frames, 0 to {count - 1}; "
                "give length=cut to leave it out"
            )

    def _numbers(self) -> list[int]:
        """Frame numbers of the pictures, in the order in which they are read."""
        path = Path(self.path)
        if not path.exists():
            raise VideoError(f"{path}: no such file or folder")
        if path.is_file() and path.suffix.lower() not in SUFFIXES:
            raise ImportanceError(f"{path}: give a folder of pictures named by their frames, or one picture")
        numbers = []
        for file in list_images(path):
            found = re.findall(r"\d+", file.stem)
            if not found and path.is_dir():
                raise ImportanceError(f"{file}: its name holds no frame number; call it such as 00030.png")
            numbers.append(int(found[-1]) if found else 0)
        if twice := {n for n in numbers if numbers.count(n) > 1}:
            raise ImportanceError(f"{path} has several maps of frame {min(twice)}; keep one of them")
        return numbers
