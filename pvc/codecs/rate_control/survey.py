"""What a first pass finds out for the second: which frames are key frames, what each of them costs, and the plan."""

import math
from array import array
from collections.abc import Sequence

import numpy as np

from pvc.codecs.rate_control.control import Trial
from pvc.codecs.rate_control.estimate import Line, u_of, x_of
from pvc.codecs.rate_control.window import Ledger, settings_for

SWINGS = (0.08, 0.06, 0.04, 0.02, 0.0)
"""What stretches of a second or two may be planned to differ from the asked rate: the first with which windows fit."""
PLANNED = 0.1
"""What any window may be planned to differ from it."""


class Survey:
    """Kind, bits, x and u_alpha of each frame of a pass: 33 bytes a frame."""

    def __init__(self) -> None:
        self.keys = bytearray()
        self._rows = array("d")

    def add(self, trial: Trial, dx: float) -> None:
        """A frame was coded, with a beta that differs by ``dx`` in x from that of the frame before."""
        choice = trial.choice
        self.keys.append(choice.key)
        self._rows.extend((math.log(trial.bits), x_of(choice.code), dx, u_of(choice)))

    def levels(self, lines: dict[bool, Line]) -> np.ndarray:
        """Log bits of each frame at x = 0, by the ``lines`` of I- and P-frames."""
        rows = np.array(self._rows).reshape(-1, 4)
        keys = np.frombuffer(self.keys, np.uint8).astype(bool)
        expected = np.where(keys, *(line.at(*rows.T[1:]) - line.at(0.0) for line in (lines[True], lines[False])))
        return rows[:, 0] - expected


def spread(keys: Sequence[int], levels: np.ndarray, curves: dict[bool, np.ndarray], ledger: Ledger) -> np.ndarray:
    """Bits that a second pass should have spent before each frame, and at the end [T + 1].

    All frames get the same beta, but for stretches that would then leave the asked rate by more than a swing: they get
    what is nearest to it. A stretch goes from one key frame to another, one to two seconds later, or is a second.

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
    for swing in SWINGS:
        planned = _at_swing(swing, keys, levels, curves, bits, starts, ledger.rate)
        windows = planned[ledger.second :] - planned[: -ledger.second] if total >= ledger.second else np.zeros(0)
        if (np.abs(windows - ledger.full) < PLANNED * ledger.full).all():
            break
    return planned


def _at_swing(
    swing: float,
    keys: np.ndarray,
    levels: np.ndarray,
    curves: dict[bool, np.ndarray],
    bits: np.ndarray,
    starts: list[int],
    rate: float,
) -> np.ndarray:
    """The plan at a ``swing``; ``bits`` [G, stretches] of stretches at each setting, ``rate`` asked of a frame."""
    frames, grid = np.diff(starts), np.arange(len(bits))
    kept = np.clip(bits, (1 - swing) * frames * rate, (1 + swing) * frames * rate)
    at = settings_for(kept.sum(axis=1)[:, None], len(keys) * rate)[0]
    natural = levels * np.where(keys, *(np.interp(at, grid, curves[kind]) for kind in (True, False)))
    wanted = np.array([np.interp(at, grid, column) for column in kept.T])
    planned = natural * np.repeat(wanted / np.add.reduceat(natural, starts[:-1]), frames)
    planned *= len(keys) * rate / planned.sum()
    return np.append(0.0, np.cumsum(planned))
