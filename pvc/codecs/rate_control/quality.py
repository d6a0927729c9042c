"""Constant quality: the PSNR of each frame, or of its region of interest, held by the choice of beta."""

from collections.abc import Sequence

from pvc.codecs.rate_control.control import Choice, Trial
from pvc.codecs.rate_control.estimate import bits_line, code_at, x_of
from pvc.codecs.rate_control.keys import KeyFrames
from pvc.codecs.rate_control.target import Target

MAX_TRIALS = 4
"""Codings of a frame at most, but for one more at a scene cut."""


class Quality:
    """Chooses beta for each frame so that its PSNR is that of ``target``, in up to four codings.

    Args:
        target: what to hold. gop, key_u: as in :class:`KeyFrames`. pixels: of a frame.
    """

    look_ahead = 0

    def __init__(self, target: Target, *, gop: int, pixels: int, key_u: float | None = None):
        self.target, self.measures = target, target.region
        self._keys = KeyFrames(gop, {key: bits_line(key, pixels) for key in (True, False)}, key_u)
        self._codings = self._frames = 0

    @property
    def codings(self) -> float:
        """How often a frame was coded, on average."""
        return self._codings / max(1, self._frames)

    def probe(self) -> list[Choice]:
        """Nothing: the first frame is coded until it is right."""
        return []

    def learn(self, trials: Sequence[Trial]) -> None:
        """There is no probe."""

    def choose(self, left: int | None, trials: Sequence[Trial] = ()) -> Choice | Trial:
        """The beta that should give the PSNR; after a trial that has it, or the last one, the best of them."""
        key = self._keys.decide(trials)
        if isinstance(key, Choice):
            return key
        mine = [t for t in trials if t.choice.key is key]
        if mine and (self.target.held(mine[-1]) or len(mine) >= MAX_TRIALS):
            self._codings += len(trials)
            return min(mine, key=self.target.miss)
        return self._keys.choice(key, code_at(self.target.x(key, self._keys.x, mine)))

    def spent(self, trial: Trial) -> None:
        """Learn from the frame."""
        x = x_of(trial.choice.code)
        self.target.spent(trial, self._keys.dx(trial.choice.key, x))
        self._keys.spent(trial)
        self._frames += 1

    def overhead(self, bits: int) -> None:
        """Nothing depends on it."""

    def report(self) -> list[str]:
        """The PSNR that was asked and got."""
        lines = self.target.report()
        return [f"{lines[0]}; {self.codings:.2f} codings a frame", *lines[1:]]
