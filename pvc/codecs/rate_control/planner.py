"""What the next frame should be coded with, so that those after it can have what they need."""

from collections.abc import Sequence

import numpy as np

from pvc.codecs.rate_control.control import Choice, Trial
from pvc.codecs.rate_control.estimate import X_MAX, X_MIN, code_at, u_of, x_of
from pvc.codecs.rate_control.keys import KeyFrames
from pvc.codecs.rate_control.target import Target
from pvc.codecs.rate_control.window import AIM, LAST_AIM, Ledger, steer

I_STEPS = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5)
"""How much higher than that of P-frames the ln(beta) of I-frames may be."""
GRID = 65
"""Settings of the knob that are compared."""


class Planner:
    """Looks for the one beta at which the coming frames spend what is left for them.

    Args:
        ledger: what was spent. keys: where key frames stand, and what either kind costs.
        floor, lowest_u: as in :class:`pvc.codecs.rate_control.bitrate.Bitrate`.
        levels: bits of each frame relative to the estimate for its kind, from a first pass; None without one.
        planned: bits that should have been spent before each frame, and at the end; None is the asked rate throughout.
    """

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyFrames,
        floor: Target | None,
        lowest_u: float,
        levels: np.ndarray | None = None,
        planned: np.ndarray | None = None,
    ):
        self.ledger, self.keys, self.floor, self._lowest_u = ledger, keys, floor, lowest_u
        self.levels, self._planned, self._x = levels, planned, np.linspace(X_MIN, X_MAX, GRID)

    def next(self, key: bool, left: int | None, mine: Sequence[Trial]) -> tuple[Choice, float]:
        """How to code the next frame, and the bits that it should then have; ``mine`` are the trials of its kind.

        Where the windows allow less than the budget, I-frames get a higher beta than P-frames, so that a window that
        holds one more of them than the others does not keep all of them below the rate.
        """
        best = None
        for step in (0.0,) if self.floor else I_STEPS:
            plan = self._with_step(step, key, left, mine)
            if best is None or plan[0] < best[0] - 1:
                best = plan
            if plan[0] <= 0:
                break
        return best[1:]

    def _with_step(
        self, step: float, key: bool, left: int | None, mine: Sequence[Trial]
    ) -> tuple[float, Choice, float]:
        """The plan with I-frames ``step`` higher in x; first how far the windows bend it towards fewer bits."""
        ledger, lines = self.ledger, self.keys.lines
        horizon = self._horizon(key, left)
        curves = {kind: np.exp(lines[kind].at(x, u=u)) for kind in (True, False) for x, u in [self._path(kind, step)]}
        ahead = np.array(self.keys.ahead(key, horizon))
        bits = np.where(ahead, curves[True][:, None], curves[False][:, None])
        if self.levels is not None:
            bits = bits * self.levels[ledger.frames : ledger.frames + horizon]
        x, u = self._path(key, step, mine)
        bits[:, 0] = self._own(key, x, u)
        if mine:
            last = mine[-1]
            bits[:, 0] *= last.bits / self._own(key, x_of(last.choice.code), u_of(last.choice))
        end = ledger.frames + horizon
        budget = (ledger.rate * end if self._planned is None else self._planned[end]) - ledger.spent
        setting, ideal = steer(bits, budget, ledger, LAST_AIM if left == horizon else AIM)
        grid = np.arange(GRID)
        x, u, wanted = (float(np.interp(setting, grid, values)) for values in (x, u, bits[:, 0]))
        return setting - ideal, self.keys.choice(key, code_at(x), u if self.floor else None), wanted

    def _own(self, key: bool, x, u):
        """Expected bits of the next frame at ``x`` and ``u``."""
        level = 1.0 if self.levels is None else self.levels[self.ledger.frames]
        return level * np.exp(self.keys.lines[key].at(x, self.keys.dx(key, x), u))

    def _path(self, key: bool, step: float, mine: Sequence[Trial] = ()) -> tuple[np.ndarray, np.ndarray]:
        """x and u_alpha [G] at each setting of the knob, from many bits to few; I-frames ``step`` higher in x."""
        own_u = self.keys.key_u if key else None
        if not self.floor:
            return np.minimum(self._x + step * key, X_MAX), np.full(GRID, 1.0 if own_u is None else own_u)
        end, half = self.floor.x(key, self.keys.x, mine), GRID // 2
        u = np.append(np.ones(half), np.linspace(1, self._lowest_u, GRID - half))
        x = np.append(np.linspace(X_MIN, end, half), np.full(GRID - half, end))
        return x, u if own_u is None else np.full(GRID, own_u)

    def _horizon(self, key: bool, left: int | None) -> int:
        """How many frames the plan is for: to a key frame one to two seconds ahead, or two seconds."""
        second = self.ledger.second
        ahead = self.keys.ahead(key, 2 * second)
        frames = ahead.index(True, second) if True in ahead[second:] else 2 * second
        return frames if left is None else min(frames, left)
