"""Values that every frame has by itself: of the whole frame, its region of interest (ROI) and its background."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor

from pvc.metrics.base import Scores, check_pair, too_small

_ROI, _BG = "_roi", "_bg"
_LACKING = {_ROI: "ROI", _BG: "background"}

FrameValues = Callable[[Tensor, Tensor, Tensor | None], Mapping[str, float]]
"""From reference and decoded frame (uint8 ``[3, H, W]``) and importance (``[1, H, W]`` or None) to values by name."""


def region_names(name: str) -> tuple[str, str, str]:
    """``X``, ``X_roi``, ``X_bg``."""
    return name, name + _ROI, name + _BG


def regions(name: str, values: Tensor, importance: Tensor | None, threshold: float) -> Iterator[tuple[str, Tensor]]:
    """The ``values`` (``[H, W]``) of the whole frame, of its ROI and of its background, where they are any.

    Args:
        importance: ``[1, H, W]``; pixels of at least ``threshold`` are ROI. None: there is the whole frame only.

    Yields:
        (``X``, all values ``[n]``), (``X_roi``, those of the ROI), (``X_bg``, those of the background).
    """
    yield name, values.reshape(-1)
    if importance is not None:
        roi = importance[0] >= threshold
        for suffix, region in ((_ROI, roi), (_BG, ~roi)):
            if len(inside := values[region]):
                yield name + suffix, inside


class FrameMeans:
    """Accumulator of the mean over frames of what ``frame`` gives for each.

    A frame without a value (no ROI in it, say) does not count in that value's mean, and a note says how many.

    Args:
        names: All values there can be.
        frame: The values of one frame.
        smallest: Shorter side in pixels that a frame must have.
        lacking: What a frame without this value has none of; known for ``X_roi`` and ``X_bg``.
        by_map: Further names that need an importance map.
        cap: A frame's value that stands for this much or more, for a note.
    """

    def __init__(
        self,
        names: Sequence[str],
        frame: FrameValues,
        *,
        smallest: int = 1,
        lacking: Mapping[str, str] | None = None,
        by_map: Sequence[str] = (),
        cap: float | None = None,
    ):
        self._values: dict[str, list[float]] = {name: [] for name in names}
        self._frame, self._smallest, self._by_map, self._cap = frame, smallest, by_map, cap
        self._what = {n: _LACKING[s] for n in names for s in (_ROI, _BG) if n.endswith(s)} | dict(lacking or {})
        self._count, self._has_map = 0, False
        self._reason: str | None = None

    def add(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> None:
        """See :class:`pvc.metrics.Accumulator`."""
        check_pair(reference, decoded, importance)
        self._reason = self._reason or too_small(reference, self._smallest)
        self._count += len(reference)
        self._has_map |= importance is not None
        if self._reason:
            return
        for t in range(len(reference)):
            q = None if importance is None else importance[t]
            for name, value in self._frame(reference[t], decoded[t], q).items():
                self._values[name].append(value)

    def scores(self) -> Scores:
        """The means, with notes and reasons."""
        out = Scores()
        for name, values in self._values.items():
            if reason := self._reason or self._fault(name, values):
                out.unavailable[name] = reason
                continue
            out.values[name] = math.fsum(values) / len(values)
            notes = []
            if len(values) < self._count:
                notes.append(f"mean over {len(values)} of {self._count} frames; the others have no {self._what[name]}")
            if self._cap is not None and (capped := sum(v == self._cap for v in values)):
                notes.append(
                    f"{capped} of {self._count} frames are lossless or close to it and count as {self._cap:g} dB"
                )
            if notes:
                out.notes[name] = "; ".join(notes)
        return out

    def close(self) -> None:
        """Nothing to let go of."""

    def _fault(self, name: str, values: list[float]) -> str | None:
        if not self._count:
            return "the clip has no frames"
        if not self._has_map and (name in self._by_map or name.endswith((_ROI, _BG))):
            return "the sequence has no mask"
        if not values:
            return f"no frame has any {self._what[name]}"
        if not all(map(math.isfinite, values)):
            return "it is not a finite number on every frame"
        return None
