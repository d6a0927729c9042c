"""Importance carried on: what was marked in one frame, moved along the optical flow of those that follow.

Source: Pergament et al., "An interactive annotation tool for perceptual video compression", 2022, section III.C: to the
next 40 frames, with temporal decay. The paper does not say which; the tool's published code uses ``1 - k / 40`` in the
k-th frame after, which is ``decay="linear"`` here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pvc.errors import ConfigError
from pvc.importance.flow import CUT, STEPS, grid

FRAMES = 40


@dataclass(frozen=True)
class Decay:
    """How much is left of a mark ``k`` frames after it was made.

    Args:
        frames: How many frames it reaches; after them there is nothing.
        decay: ``linear``: ``1 - k / frames``. A number in (0, 1]: ``decay^k``; 1 does not fade.

    Raises:
        ConfigError: an argument is out of range.
    """

    frames: int = FRAMES
    decay: str | float = "linear"

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ConfigError(f"frames = {self.frames}: marks are carried on for at least 1 frame")
        if self.decay != "linear" and not (isinstance(self.decay, int | float) and 0 < self.decay <= 1):
            raise ConfigError(f"decay = {self.decay}: must be linear, or a factor a frame in (0, 1]")

    def weight(self, k: int) -> float:
        """What is left after ``k`` frames, in [0, 1]."""
        if k > self.frames:
            return 0.0
        return 1 - k / self.frames if self.decay == "linear" else self.decay**k


def warp(q: Tensor, flow: NDArray[np.int16], rest: float = 0.0) -> Tensor:
    """The map of the next frame: ``q`` moved along ``flow``.

    Args:
        q: float32 ``[1, H, W]``, any values. flow: from the next frame to this one, as
            :meth:`pvc.importance.flow.Farneback.flows` yields it; its grid may be smaller than the map.
        rest: Value after a cut between scenes.
    """
    if flow[0, 0, 0] == CUT:
        return torch.full_like(q, rest)
    height, width = q.shape[-2:]
    h, w = flow.shape[1:]
    pixels = flow.transpose(1, 2, 0).astype(np.float32) / STEPS
    if (h, w) != (height, width):
        pixels = cv2.resize(pixels, (width, height)).reshape(height, width, 2) * np.float32([width / w, height / h])
    source = grid(height, width) + pixels
    moved = cv2.remap(q[0].numpy(), source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(moved)[None]


def propagate(
    q: Tensor, flows: Iterable[NDArray[np.int16]], decay: Decay | None = None, rest: float = 0.0
) -> Iterator[Tensor]:
    """What ``q`` becomes in the frames after its own, as far as ``flows`` and ``decay`` reach.

    The value ``k`` frames on is ``rest + (moved - rest) weight(k)``. ``q`` may be a map, or a stroke of a brush that is
    added to maps (``rest`` 0, any sign).

    Args:
        q: float32 ``[1, H, W]`` of frame t. flows: of the frames t + 1, t + 2, ... to the ones before them.
        rest: What fades ends at: 0, or 127 / 255 for a map where that is neutral.

    Yields:
        float32 ``[1, H, W]`` of the frames t + 1, t + 2, ...; fewer than ``decay.frames`` where the clip ends.
    """
    decay, moved = decay or Decay(), q
    for k, flow in zip(range(1, decay.frames + 1), flows):
        moved = warp(moved, flow, rest)
        yield rest + (moved - rest) * decay.weight(k)
