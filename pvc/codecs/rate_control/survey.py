"""What a first pass finds out for the second: which frames are key frames, what each of them costs, and the plan."""

import math
from array import array
from collections.abc import Sequence

import numpy as np

from pvc.codecs.rate_control.control import Trial
from pvc.codecs.rate_control.estimate import Line, x_of
from pvc.codecs.rate_control.window import Ledger, setting_for

SWING = 0.05
"""What a stretch of a second or two may be planned to differ from the asked rate."""


class Survey:
    """Kind, bits, x and u_alpha of each frame of a pass: 25 bytes a frame."""

    def __init__(self) -> None:
        self.keys = bytearray()
        self._rows = array("d")

    def add(self, trial: Trial, dx: float) -> None:
        """A frame was coded, with a beta that differs by ``dx`` in x from that of the frame before."""
        choice = trial.choice
        self.keys.append(choice.key)
        self._rows.extend(
            (math.log(trial.bits), x_of(choice.code), dx, 1.0 if choice.u_alpha is None else choice.u_alpha)
        )

    def levels(self, lines: dict[bool, Line]) -> np.ndarray:
        """Log bits of each frame at x = 0, by the ``lines`` of I- and P-frames."""
        rows = np.array(self._rows).reshape(-1, 4)
        keys = np.frombuffer(self.keys, np.uint8).astype(bool)
        expected = np.where(keys, *(line.at(*rows.T[1:]) - line.at(0.0) for line in (lines[True], lines[False])))
        return rows[:, 0] - expected


def plan(keys: Sequence[int], levels: np.ndarray, curves: dict[bool, np.ndarray], ledger: Ledger) -> np.ndarray:
    """Bits that a second pass should have spent before each frame, and at the end [T + 1].

    All frames get the same beta, but for stretches that would then leave the asked rate by more than ``SWING``: they
    get what is nearest to it. A stretch goes from one key frame to another, one to two seconds later, or is a second.

    Args:
        keys, levels: of each frame: whether it is a key frame, and its bits relative to the curve of its kind.
        curves: bits [G] of I- and P-frames at each setting.
    """
    keys = np.frombuffer(keys, np.uint8).astype(bool)
    starts, total = [0], len(keys)
    while (start := starts[-1]) < total:
        ahead = np.flatnonzero(keys[start + ledger.second : start + 2 * ledger.second])
        starts.append(min(start + ledger.second + (int(ahead[0]) if len(ahead) else 0), total))
    if len(starts) > 2 and total - starts[-2] < ledger.second:  # a rest joins the stretch before
        del starts[-2]
    sums = np.array([np.add.reduceat(levels * (keys == kind), starts[:-1]) for kind in (True, False)])
    bits = curves[True][:, None] * sums[0] + curves[False][:, None] * sums[1]  # [G, stretches]
    asked = np.diff(starts) * ledger.rate
    kept = np.clip(bits, (1 - SWING) * asked, (1 + SWING) * asked)
    at, grid = setting_for(kept.sum(axis=1), total * ledger.rate), np.arange(len(bits))
    natural = levels * np.where(keys, *(np.interp(at, grid, curves[kind]) for kind in (True, False)))
    wanted = np.array([np.interp(at, grid, column) for column in kept.T])
    scale = wanted / np.add.reduceat(natural, starts[:-1])
    planned = np.append(0.0, np.cumsum(natural * np.repeat(scale, np.diff(starts))))
    return planned * (total * ledger.rate / planned[-1])
