"""Where each pixel of a frame was in the frame before: dense optical flow, checked and mended.

Flow is the expensive part of propagating importance, and needs the clip alone; following it
(:mod:`pvc.importance.propagate`) is cheap. So it can be computed once for a clip, and kept
(:mod:`pvc.importance.flow_file`).

Source: Pergament et al., "An interactive annotation tool for perceptual video compression", 2022, section III.C:
OpenCV's Farneback algorithm with the parameters of OpenCV's tutorial, precomputed. Forward-backward check: Sundaram et
al., "Dense point trajectories by GPU-accelerated large displacement optical flow", ECCV 2010, equation 5.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pvc.errors import ConfigError, ImportanceError

STEPS = 32
"""Flow counts in 1/32 pixels of its own grid, so it reaches 1023 of them."""
CUT = np.int16(-32768)
"""Flow between two frames of different scenes, at every pixel: nothing was anywhere."""

_UNRELATED = 0.8  # of a frame's contrast is left after motion compensation: another scene
# Places in which a pixel without a source looks for its like: pixels from it, in eight directions.
_RINGS = (2, 4, 7, 10, 14, 18)
_COLOUR, _SPACE, _LEAST = 0.07, 10.0, 0.02  # how alike: standard deviations of colour in [0, 1] and place; and at least


@dataclass(frozen=True)
class Farneback:
    """Flow from each frame to the one before it, by OpenCV's Farneback algorithm.

    A pixel is believed if the flow there and back ends where it began, and shows the same colour at its other end: as
    Farneback's window blurs motion beyond the edges of things, there and back alike, the first does not suffice. One
    that is not believed, mostly background that came out from behind something, has no place in the frame before. It
    takes the flow of the believed pixel nearby that is most like it in colour and place, so that it gets the importance
    of what it now belongs to. Without that it would get the importance of what hid it, and things would leave a smear
    behind them. Where no believed pixel is near (the flow failed, as with motion too fast for it), the flow stays.

    Args:
        lines: Flow is computed on frames scaled down to at most so many lines, and kept at that size.
        check: Whether flow is checked and mended; without it, at half the time, the flow as it is, as in the paper.
        change: Distance in RGB, [0, 1] each, by which the colour of a thing may change from frame to frame.
        gaussian: Weight the window by a Gaussian. False as in the tutorial; docs/importance.md has what each gives.
        pyr_scale, levels, winsize, iterations, poly_n, poly_sigma: As OpenCV calls them, values of its tutorial.

    Raises:
        ConfigError: a setting is out of range.
    """

    lines: int = 256
    check: bool = True
    change: float = 0.04
    gaussian: bool = True
    pyr_scale: float = 0.5
    levels: int = 3
    winsize: int = 15
    iterations: int = 3
    poly_n: int = 5
    poly_sigma: float = 1.2

    def __post_init__(self) -> None:
        least = {"lines": 16, "levels": 1, "winsize": 3, "iterations": 1, "poly_n": 3, "poly_sigma": 0.1, "change": 0}
        for name, low in least.items():
            if not getattr(self, name) >= low:
                raise ConfigError(f"flow.{name} = {getattr(self, name)}: must be at least {low}")
        if not 0 < self.pyr_scale < 1:
            raise ConfigError(f"flow.pyr_scale = {self.pyr_scale}: must lie in (0, 1)")

    def flows(
        self, frames: Iterable[Tensor], wanted: Callable[[int], bool] | None = None
    ) -> Iterator[NDArray[np.int16] | None]:
        """The flow of each frame but the first to the one before it.

        Args:
            frames: uint8 RGB ``[3, H, W]``; read one by one, two are held.
            wanted: Whether the flow of frame t is; None stands for those that are not. Without it all are.

        Yields:
            int16 ``[2, h, w]``, x first, in 1 / STEPS pixels of the grid (h, w): what frame t shows at p, frame t - 1
            showed at ``p + flow(p)``. :data:`CUT` everywhere between two scenes.

        Raises:
            ImportanceError: the frames change their size.
        """
        before = None
        for t, frame in enumerate(frames):
            now = self._small(frame)
            if before is not None:
                if now.shape != before.shape:
                    raise ImportanceError(f"frame {t} has another size than the one before it; flow needs equal sizes")
                yield self._flow(now, before) if wanted is None or wanted(t) else None
            before = now

    def _small(self, frame: Tensor) -> NDArray:
        """uint8 ``[h, w, 3]``."""
        picture = np.ascontiguousarray(frame.permute(1, 2, 0).numpy())
        height, width = picture.shape[:2]
        if height <= self.lines:
            return picture
        return cv2.resize(
            picture, (max(round(width * self.lines / height), 1), self.lines), interpolation=cv2.INTER_AREA
        )

    def _flow(self, now: NDArray, before: NDArray) -> NDArray[np.int16]:
        grey, other = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (now, before))
        back = self._farneback(grey, other)
        if unrelated(grey, other, back):
            return np.full((2, *grey.shape), CUT)
        if self.check:
            colours, others = (cv2.GaussianBlur(p.astype(np.float32) / 255, (0, 0), 1) for p in (now, before))
            believed = consistent(back, self._farneback(other, grey)) & _alike(colours, others, back, self.change)
            back = _mended(back, believed, colours)
        return np.rint(back * STEPS).clip(CUT + 1, -(CUT + 1)).astype(np.int16).transpose(2, 0, 1)

    def _farneback(self, frame: NDArray, other: NDArray) -> NDArray:
        """float32 ``[h, w, 2]``."""
        flags = cv2.OPTFLOW_FARNEBACK_GAUSSIAN if self.gaussian else 0
        shape = (self.pyr_scale, self.levels, self.winsize, self.iterations, self.poly_n, self.poly_sigma)
        return cv2.calcOpticalFlowFarneback(frame, other, None, *shape, flags)


def consistent(flow: NDArray, reverse: NDArray) -> NDArray[np.bool_]:
    """Where going along ``flow`` and back along ``reverse`` (``[h, w, 2]``, pixels) ends at the start, ``[h, w]``.

    By |f + r|^2 <= 0.01 (|f|^2 + |r|^2) + 0.5, with r where f ends; ends outside of the frame do not count.
    """
    height, width = flow.shape[:2]
    ends = grid(height, width) + flow
    back = cv2.remap(reverse, ends, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    apart, length = (np.square(v).sum(-1) for v in (flow + back, np.concatenate([flow, back], axis=-1)))
    inside = ((ends >= -0.5) & (ends <= (width - 0.5, height - 0.5))).all(-1)
    return inside & (apart <= 0.01 * length + 0.5)


@lru_cache(maxsize=8)
def grid(height: int, width: int) -> NDArray[np.float32]:
    """The place of each pixel, ``[height, width, 2]``, x first."""
    return np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in (width, height))), axis=-1)


def unrelated(frame: NDArray, other: NDArray, flow: NDArray) -> bool:
    """Whether two grey pictures show different scenes: moving ``other`` along the flow hardly gives ``frame``."""
    moved = cv2.remap(other, grid(*frame.shape) + flow, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.absdiff(frame, moved).mean() > _UNRELATED * max(cv2.absdiff(frame, frame.mean()).mean(), 1)


def _alike(colours: NDArray, others: NDArray, flow: NDArray, change: float) -> NDArray[np.bool_]:
    """Where what lies at the end of the flow has nearly the same colour (of ``[h, w, 3]`` in [0, 1]), ``[h, w]``."""
    moved = cv2.remap(others, grid(*flow.shape[:2]) + flow, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.square(colours - moved).sum(-1) <= change**2


def _mended(flow: NDArray, believed: NDArray, colour: NDArray) -> NDArray:
    """``flow``, but pixels not believed have the source of the believed one nearby that is most like them."""
    height, width = believed.shape
    ys, xs = np.nonzero(~believed)
    own, best = colour[ys, xs], np.full(len(ys), np.log(_LEAST), np.float32)
    donor_y, donor_x = ys.copy(), xs.copy()
    for dy, dx in ((r * sy, r * sx) for r in _RINGS for sy in (-1, 0, 1) for sx in (-1, 0, 1) if sy or sx):
        y, x = (ys + dy).clip(0, height - 1), (xs + dx).clip(0, width - 1)
        like = -np.square(colour[y, x] - own).sum(-1) / (2 * _COLOUR**2) - (dy * dy + dx * dx) / (2 * _SPACE**2)
        better = np.flatnonzero(believed[y, x] & (like > best))
        best[better], donor_y[better], donor_x[better] = like[better], y[better], x[better]
    mended = flow.copy()
    mended[ys, xs] += flow[donor_y, donor_x] - flow[ys, xs] + np.stack([donor_x - xs, donor_y - ys], axis=-1)
    return mended
