"""Where key frames stand: every so many frames, and at scene cuts."""

import math
from collections.abc import Sequence

from pvc.codecs.rate_control.control import Choice, Trial
from pvc.codecs.rate_control.estimate import Line, u_of, x_of


class KeyFrames:
    """Decides which frames are I-frames and keeps the estimates of what either kind costs.

    A P-frame that comes out nearly as large as an I-frame is coded as one too: at a scene cut that gives 1.4 to
    2.7 dB more for hardly more bits, and mostly far fewer (``docs/rate-control.md``). The next I-frame then comes
    ``gop`` frames later.

    Args:
        gop: frames from one key frame to the next, at most.
        lines: log bits of I-frames (True) and P-frames (False).
        key_u: u_alpha of I-frames, None for that of the map.
        known: which frames are key frames, from a first pass; cuts are then not looked for.
    """

    def __init__(
        self, gop: int, lines: dict[bool, Line], key_u: float | None = None, known: Sequence[bool] | None = None
    ):
        self.gop, self.lines, self.key_u, self._known = gop, lines, key_u, known
        self.since, self.frame = 0, 0
        self.x: float | None = None  # of the frame before

    def decide(self, trials: Sequence[Trial]) -> bool | Choice:
        """Whether the next frame is a key frame, as far as ``trials`` of it say; or how to code it to find out."""
        if self._known is not None:
            return bool(self._known[self.frame])
        if self.since % self.gop == 0:
            return True
        plain, keyed = (next((t for t in trials if t.choice.key is key), None) for key in (False, True))
        if plain is None or keyed is not None:
            return keyed is not None and keyed.bits <= 1.1 * plain.bits
        x = x_of(plain.choice.code)
        whole, usual = (math.exp(self.lines[key].at(x, self.dx(key, x))) for key in (True, False))
        if plain.bits < 0.7 * whole or plain.bits < 1.5 * usual:
            return False
        return self.choice(True, plain.choice.code, plain.choice.u_alpha)

    def choice(self, key: bool, code: int, u_alpha: float | None = None) -> Choice:
        """The choice, with the u_alpha of I-frames for one if they have their own."""
        return Choice(key, code, self.key_u if key and self.key_u is not None else u_alpha)

    def dx(self, key: bool, x: float) -> float:
        """The change of ``x`` that a P-frame feels."""
        return 0.0 if key or self.x is None else x - self.x

    def ahead(self, key: bool, frames: int) -> list[bool]:
        """Which of the next ``frames`` frames are key frames, if the first of them is one or not by ``key``."""
        if self._known is not None:
            return [bool(k) for k in self._known[self.frame : self.frame + frames]]
        since = 0 if key else self.since
        return [(since + k) % self.gop == 0 for k in range(frames)]

    def spent(self, trial: Trial, level: float = 0.0) -> None:
        """The frame is coded; ``level`` is what was known of its log bits beforehand."""
        key, x = trial.choice.key, x_of(trial.choice.code)
        self.lines[key].observe(math.log(trial.bits) - level, x, self.dx(key, x), u_of(trial.choice))
        self.since, self.frame, self.x = (1 if key else self.since + 1), self.frame + 1, x
