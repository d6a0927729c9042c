"""The buffer model: what may be spent when, and the steering that keeps to it.

Any window of one second holds the asked bits within a tolerance, and a leaky bucket of one second never overflows: it
takes in every frame's bits and drains at the asked rate, which is a receiver that buffers one second (VBV).
"""

from collections import deque
from fractions import Fraction

import numpy as np

TOLERANCE = 0.15
"""What any second may differ from the asked rate."""
AIM = 0.11
"""What the plan allows a second: what comes out differs from what was planned."""


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


def steer(bits: np.ndarray, budget: float, ledger: Ledger) -> tuple[float, float]:
    """Where to set a knob for the frames to come.

    Args:
        bits: [G, H], bits of the next H frames at G settings of the knob; fewer as it is turned up.
        budget: bits to spend on them.

    Returns:
        The setting, in [0, G - 1], at which all H frames at the same setting spend the budget, turned as far as the
        windows and the bucket demand (where they contradict each other, the nearer one counts); and the setting as it
        was before that.
    """
    sums = np.cumsum(bits, axis=1)
    past = np.concatenate(([0.0], np.cumsum(list(ledger.recent)[::-1])))  # of the last 0, 1, 2, ... frames
    ideal, low, high = setting_for(sums[:, -1], budget), 0.0, len(bits) - 1.0
    for k in range(bits.shape[1]):
        above = setting_for(ledger.bucket + sums[:, k] - (k + 1) * ledger.rate, ledger.full)
        below = high
        behind = ledger.second - 1 - k  # frames already coded of the window that ends with frame k
        if behind < len(past):
            window = sums[:, k] + past[behind] if behind >= 0 else sums[:, k] - sums[:, -behind - 1]
            above = max(above, setting_for(window, (1 + AIM) * ledger.full))
            below = setting_for(window, (1 - AIM) * ledger.full)
        if above > high:
            return high, ideal
        if below < low:
            return low, ideal
        low, high = max(low, above), min(high, below)
        if low > high:  # the bucket asks for less than the window: the window is what was promised
            return high, ideal
    return min(max(ideal, low), high), ideal


def setting_for(falling: np.ndarray, wanted: float) -> float:
    """Where ``falling`` [G] comes down to ``wanted``, between grid points; the nearer end if it lies outside."""
    return float(np.interp(wanted, falling[::-1], np.arange(len(falling) - 1, -1, -1.0)))
