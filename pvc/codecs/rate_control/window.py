"""The buffer model: what may be spent when, and the steering that keeps to it.

Any window of one second holds the asked bits within a tolerance, and a leaky bucket of one second never overflows: it
takes in every frame's bits and drains at the asked rate, which is a receiver that buffers one second (VBV).
"""

from collections import deque
from fractions import Fraction

import numpy as np

TOLERANCE = 0.15
"""What any second may differ from the asked rate."""
AIM, LAST_AIM = 0.11, 0.13
"""What a plan allows a second: less than the tolerance, as what comes out differs from what was planned; a little more
where the plan reaches the clip's end, as the sum has to be right there."""


class Ledger:
    """What was spent on the frames so far.

    Args:
        bitrate: asked, in bits a second. fps: frames a second.

    Attributes:
        rate: asked bits of a frame. second: frames of a window, and ``full`` its asked bits.
        frames: coded so far. spent: their bits, and those of the stream that belong to no frame.
        bucket: bits in the leaky bucket now, and ``peak`` the most it ever held.
        worst: bits of the window furthest off the asked ones; None before a second has passed.
    """

    def __init__(self, bitrate: float, fps: Fraction):
        self.fps = float(fps)
        self.rate = bitrate / self.fps
        self.second = max(1, round(fps))
        self.full = self.rate * self.second
        self.frames = self.spent = 0
        self.bucket = self.peak = 0.0
        self.worst: float | None = None
        self.recent: deque[int] = deque(maxlen=self.second)

    def add(self, bits: int) -> None:
        """A frame has been coded with ``bits``."""
        self.frames += 1
        self.spent += bits
        self.recent.append(bits)
        self.bucket = max(0.0, self.bucket + bits - self.rate)
        self.peak = max(self.peak, self.bucket)
        if len(self.recent) == self.second:
            window = float(sum(self.recent))
            if self.worst is None or abs(window - self.full) > abs(self.worst - self.full):
                self.worst = window

    def window_with(self, bits: float) -> float | None:
        """Bits of the second that ends with a next frame of ``bits``; None if it began before the clip did."""
        recent = list(self.recent)[-(self.second - 1) :] if self.second > 1 else []
        return sum(recent) + bits if len(recent) == self.second - 1 else None


def steer(bits: np.ndarray, budget: float, ledger: Ledger, aim: float = AIM) -> tuple[float, float]:
    """Where to set a knob for the frames to come.

    Args:
        bits: [G, H], bits of the next H frames at G settings of the knob; fewer as it is turned up.
        budget: bits to spend on them. aim: what a second may differ from the asked rate.

    Returns:
        The setting, in [0, G - 1], at which all H frames at the same setting spend the budget, turned as far as the
        windows and the bucket demand (where they contradict each other, the nearer one counts); and the setting as it
        was before that.
    """
    (settings, horizon), second, full = bits.shape, ledger.second, ledger.full
    sums = np.cumsum(bits, axis=1)
    ideal = float(settings_for(sums[:, -1:], budget)[0])
    drained = ledger.bucket - ledger.rate * np.arange(1, horizon + 1)
    above = settings_for(sums + drained, full)  # at least this, for the bucket
    below = np.full(horizon, settings - 1.0)  # at most this
    past = np.concatenate(([0.0], np.cumsum(list(ledger.recent)[::-1])))  # of the last 0, 1, 2, ... frames
    start = max(0, second - len(past))  # the first frame with which a window ends that began with the clip or later
    if start < horizon:
        behind = past[np.maximum(second - 1 - np.arange(start, horizon), 0)]
        gone = np.zeros((settings, horizon - start))  # frames of the plan that the window has left behind
        if horizon > second:
            gone[:, second - start :] = sums[:, : horizon - second]
        window = sums[:, start:] + behind - gone
        above[start:] = np.maximum(above[start:], settings_for(window, (1 + aim) * full))
        below[start:] = settings_for(window, (1 - aim) * full)
    low, high = 0.0, settings - 1.0
    for least, most in zip(above.tolist(), below.tolist(), strict=True):
        if least > high or most < low:
            return (high if least > high else low), ideal
        low, high = max(low, least), min(high, most)
        if low > high:  # the bucket asks for less than the window: the window is what was promised
            return high, ideal
    return min(max(ideal, low), high), ideal


def settings_for(falling: np.ndarray, wanted: float) -> np.ndarray:
    """Where each column of ``falling`` [G, H] comes down to ``wanted``, between grid points; the nearer end if outside.

    Returns:
        Settings in [0, G - 1], [H].
    """
    first = np.clip((falling > wanted).sum(axis=0) - 1, 0, len(falling) - 2)[None]
    high, low = (np.take_along_axis(falling, first + i, axis=0)[0] for i in (0, 1))
    drop = high - low
    part = np.divide(high - wanted, drop, out=np.where(high > wanted, 1.0, 0.0), where=drop > 0)
    return first[0] + np.clip(part, 0, 1)
