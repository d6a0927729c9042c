"""A PSNR to hold, the estimate of the beta that gives it, and how well it was held."""

from collections.abc import Sequence

from pvc.codecs.rate_control.control import Trial
from pvc.codecs.rate_control.estimate import X_MAX, X_MIN, psnr_line, x_of
from pvc.entropy.condition import BETA_MAX, BETA_MIN

END = 1e-3
"""Nearer than this to an end of the range of x is at the end."""


class Target:
    """The PSNR of every frame, or a floor under that of its region of interest (ROI).

    Args:
        db: PSNR in dB. floor: frames may not have less, and may have more.
        region: ``""`` the whole frame, ``"_roi"`` the ROI.
    """

    def __init__(self, db: float, region: str = "", floor: bool = False):
        self.db, self.region, self.floor = db, region, floor
        self._aim, self._low, self._high = (db + 0.15, db, db + 0.5) if floor else (db, db - 0.25, db + 0.25)
        self._lines = {key: psnr_line(key) for key in (True, False)}
        self._frames, self._sum, self._least, self._most = 0, 0.0, float("inf"), float("-inf")
        self._missed = 0

    def x(self, key: bool, before: float | None, trials: Sequence[Trial] = ()) -> float:
        """ln(beta / 1e-3) for the aim, within its range; ``before`` is that of the frame before, None after none."""
        line, jumps = self._lines[key], not key and before is not None
        near = sorted((t for t in trials if t.quality is not None), key=lambda t: abs(t.quality - self._aim))[:2]
        if near:  # from the trial that came nearest, along the slope between the two nearest
            x, slope = x_of(near[0].choice.code), line.own_slope if jumps else line.slope
            if len(near) == 2 and (step := x - x_of(near[1].choice.code)):
                slope = min(max((near[1].quality - near[0].quality) / step, slope / 3), slope * 3)
            found = x + (near[0].quality - self._aim) / slope
        elif jumps:
            found = before + (float(line.at(before)) - self._aim) / line.own_slope
        else:
            found = (float(line.at(0.0)) - self._aim) / line.slope
        return min(max(found, X_MIN), X_MAX)

    def held(self, trial: Trial) -> bool:
        """Whether the frame is as it should be, or no beta brings it nearer."""
        x = x_of(trial.choice.code)
        return not (self.short(trial) and x > X_MIN + END) and not (self.ample(trial) and x < X_MAX - END)

    def short(self, trial: Trial) -> bool:
        """Whether the PSNR is too low."""
        return trial.quality is not None and trial.quality < self._low

    def ample(self, trial: Trial) -> bool:
        """Whether the PSNR is higher than it need be."""
        return trial.quality is not None and trial.quality > self._high

    def miss(self, trial: Trial) -> tuple[bool, float]:
        """For the choice among trials, the best having the least: below a floor or not, and dB from the aim."""
        return self.floor and self.short(trial), 0.0 if trial.quality is None else abs(trial.quality - self._aim)

    def spent(self, trial: Trial, dx: float) -> None:
        """The frame is coded, with a beta that differs by ``dx`` in x from that of the frame before."""
        if trial.quality is None:
            return
        self._lines[trial.choice.key].observe(trial.quality, x_of(trial.choice.code), dx)
        self._frames, self._sum = self._frames + 1, self._sum + trial.quality
        self._least, self._most = min(self._least, trial.quality), max(self._most, trial.quality)
        self._missed += self.short(trial) or (self.ample(trial) and not self.floor)

    def report(self) -> list[str]:
        """What was asked, what came of it, and a warning where frames missed it."""
        what = "PSNR in the region of interest" if self.region else "PSNR"
        if not self._frames:
            return [f"warning: no frame has a region of interest, whose PSNR was to be {self.db:g} dB"]
        mean, asked = self._sum / self._frames, f"{'at least ' * self.floor}{self.db:g} dB"
        lines = [f"{what} {mean:.2f} dB, from {self._least:.2f} to {self._most:.2f} (asked: {asked})"]
        if self._missed:
            lines.append(
                f"warning: {self._missed} of {self._frames} frames miss {asked} with the betas there are, "
                f"{BETA_MIN:g} to {BETA_MAX:g}"
            )
        return lines
