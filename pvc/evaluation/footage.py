"""What a job reads: the frames of a clip, the masks that judge it and the maps that codecs get."""

from collections.abc import Callable, Iterator

from torch import Tensor

from pvc.data import Sequence as Clip

HELD = 256 * 2**20
"""Bytes. A clip up to this size stays in memory from job to job; of a longer one only a few frames do."""


class Footage:
    """The first ``count`` frames of a clip, their masks and the maps for codecs, as often as they are wanted.

    A clip of up to ``HELD`` bytes is held in memory, of a longer one each frame is read when its turn comes.
    """

    def __init__(self, clip: Clip, count: int):
        self._clip, self.count = clip, count
        self._short = count * clip.height * clip.width * (7 if clip.has_mask else 3) <= HELD
        self._held = list(clip.stream(count)) if self._short else None
        self._held_masks = list(clip.stream_mask(count)) if self._short and clip.has_mask else None
        self._maps: Callable[[], Iterator[Tensor]] | None = None

    @property
    def steered(self) -> bool:
        """Whether :meth:`maps` are those of a source."""
        return self._maps is not None

    def steer(self, maps: Callable[[], Iterator[Tensor]]) -> None:
        """From now on :meth:`maps` gives ``maps()``, and so does :meth:`masks` where the clip has no mask."""
        held = list(maps()) if self._short else None
        self._maps = maps if held is None else lambda: iter(held)

    def frames(self) -> Iterator[Tensor]:
        """uint8 ``[3, H, W]`` each."""
        return self._clip.stream(self.count) if self._held is None else iter(self._held)

    def masks(self) -> Iterator[Tensor] | None:
        """What results are judged by, float32 ``[1, H, W]`` in [0, 1] each; None where there is none."""
        if not self._clip.has_mask:
            return self._maps() if self.steered else None
        return self._clip.stream_mask(self.count) if self._held_masks is None else iter(self._held_masks)

    def maps(self) -> Iterator[Tensor] | None:
        """What codecs are given: the source's maps, or without one :meth:`masks`."""
        return self._maps() if self.steered else self.masks()
