"""A bitrate held by the choice of beta or, with a floor under the quality of the region of interest, of alpha too."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from pvc.codecs.rate_control.control import Choice, Trial
from pvc.codecs.rate_control.estimate import X_MAX, X_MIN, bits_line, code_at, correction_line, x_of
from pvc.codecs.rate_control.keys import KeyFrames
from pvc.codecs.rate_control.survey import Survey, plan
from pvc.codecs.rate_control.target import END, Target
from pvc.codecs.rate_control.window import TOLERANCE, Ledger, steer
from pvc.entropy.condition import BETA_MAX, BETA_MIN

MAX_TRIALS = 3
"""Codings of a frame at most, but for one more at a scene cut and two before the first frame."""
GROSS = 0.03
"""A frame is coded again when it missed what it should have by more than this part of a second's bits."""
HELD = 0.03
"""What the whole clip may differ from the asked rate."""
AHEAD = 16
"""Frames that are read ahead, at most, to see the end of a clip of unknown length coming."""
I_STEPS = (0.0, 0.3, 0.6, 0.9, 1.2, 1.5)
"""How much higher than that of P-frames the ln(beta) of I-frames may be."""
GRID = 129
"""Settings of the knob that are compared."""


class Bitrate:
    """Holds ``bitrate`` over the clip, and over each second of it within 15 % (:mod:`pvc.codecs.rate_control.window`).

    Before each frame it looks for the one beta at which the frames up to the end of a group of pictures, one to two
    seconds ahead, bring the sum to what was asked, and bends it as far as the windows demand. A frame that comes out
    grossly different is coded again. A second pass knows what each frame costs, and looks for the one beta for all.

    Args:
        bitrate: bits a second. fps: frames a second. gop: frames from one key frame to the next, at most.
        pixels: of a frame. count: frames of the clip, None if not known.
        floor: PSNR that the ROI keeps, even if more bits are spent for it than asked. With fewer bits all of the frame
            then gets worse down to the floor, and from there the background alone until its u_alpha is ``lowest_u``.
        key_u: u_alpha of I-frames, None for that of the map.
        first: the first pass, for a second one.
    """

    def __init__(
        self,
        bitrate: float,
        *,
        fps: Fraction,
        gop: int,
        pixels: int,
        count: int | None,
        floor: Target | None = None,
        lowest_u: float = 0.0,
        key_u: float | None = None,
        first: "Bitrate | None" = None,
    ):
        self.ledger, self.survey, self.floor = Ledger(bitrate, fps), Survey(), floor
        self.look_ahead = min(gop, self.ledger.second, AHEAD) if count is None else 1
        self.measures = floor.region if floor else None
        self._lowest_u, self._levels, self._x = lowest_u, None, np.linspace(X_MIN, X_MAX, GRID)
        lines, known, self._planned = {key: bits_line(key, pixels) for key in (True, False)}, None, None
        if first is not None:
            known = first.survey.keys
            self._levels = np.exp(first.survey.levels(first._keys.lines))
            lines = {key: correction_line(key, first._keys.lines[key]) for key in (True, False)}
            curves = {key: np.exp(lines[key].at(self._x)) for key in (True, False)}
            self._planned = plan(known, self._levels, curves, self.ledger)
        self._keys = KeyFrames(gop, lines, key_u, known)
        self._codings, self._at_end = 0, {True: 0, False: 0}

    def probe(self) -> list[Choice]:
        """Two frames, an I-frame and a P-frame, to be coded before the first one: nothing is known of the clip yet."""
        if self._levels is not None:
            return []
        code = self.choose(None).code
        return [self._keys.choice(True, code), Choice(False, code)]

    def learn(self, trials: Sequence[Trial]) -> None:
        """What the probe gave."""
        for trial in trials:
            x = x_of(trial.choice.code)
            self._keys.lines[trial.choice.key].observe(math.log(trial.bits), x)
        self._codings += len(trials)

    def choose(self, left: int | None, trials: Sequence[Trial] = ()) -> Choice | Trial:
        """What the plan says for the next frame; after a trial, what it should have been, or the trial."""
        key = self._keys.decide(trials)
        if isinstance(key, Choice):
            return key
        mine = [t for t in trials if t.choice.key is key]
        choice, wanted = self._plan(key, left, mine)
        if mine and (len(mine) >= MAX_TRIALS or choice == mine[-1].choice or self._will_do(mine[-1], wanted, left)):
            self._codings += len(trials)
            return min(mine, key=lambda trial: self._miss(trial, wanted))
        return choice

    def spent(self, trial: Trial) -> None:
        """Book the frame and learn from it."""
        choice, x = trial.choice, x_of(trial.choice.code)
        dx, u = self._keys.dx(choice.key, x), 1.0 if choice.u_alpha is None else choice.u_alpha
        self.survey.add(trial, dx)
        if self.floor:
            self.floor.spent(trial, dx)
        self._at_end[False] += x >= X_MAX - END and (not self.floor or u <= self._lowest_u)
        self._at_end[True] += x <= X_MIN + END
        self._keys.spent(trial, 0.0 if self._levels is None else math.log(self._levels[self.ledger.frames]))
        self.ledger.add(trial.bits)

    def overhead(self, bits: int) -> None:
        """Bits of the stream that belong to no frame are taken off the next ones."""
        self.ledger.spent += bits

    @property
    def codings(self) -> float:
        """How often a frame was coded, on average; what a pass costs in time."""
        return self._codings / max(1, self.ledger.frames)

    def report(self) -> list[str]:
        """The rate that was asked and got, the second furthest from it, and a warning where they are too far apart."""
        ledger = self.ledger
        if not ledger.frames:
            return []
        to_kbit = ledger.fps / 1000 / ledger.frames
        asked, got = ledger.rate * ledger.frames * to_kbit, ledger.spent * to_kbit
        off, worst = ledger.spent / (ledger.rate * ledger.frames) - 1, ledger.worst
        second = "" if worst is None else f", worst second {worst / ledger.full - 1:+.1%}"
        lines = [f"{got:.1f} kbit/s ({off:+.1%} of {asked:g}{second}; {self.codings:.2f} codings a frame)"]
        if self.floor:
            lines += self.floor.report()
        if abs(off) > HELD or (worst is not None and abs(worst / ledger.full - 1) > TOLERANCE):
            few = off > 0 or (abs(off) <= HELD and worst > ledger.full)
            lines.append(f"warning: {asked:g} kbit/s could not be held{self._why(few)}")
        return lines

    def _why(self, few: bool) -> str:
        """What stood in the way, where fewer (or more) bits were asked than there are."""
        frames = self._at_end[not few]
        if not frames:
            return ": the content changes faster than it can be followed; --passes 2 knows it beforehand" * (
                self._levels is None
            )
        end = BETA_MAX if few else BETA_MIN
        kept = f" under the floor of {self.floor.db:g} dB" if self.floor and few else f" than at beta={end:g}"
        return f": {frames} of {self.ledger.frames} frames cannot be {'smaller' if few else 'larger'}{kept}"

    def _plan(self, key: bool, left: int | None, mine: Sequence[Trial]) -> tuple[Choice, float]:
        """How to code the next frame, and the bits that it should then have; ``mine`` are the trials of its kind.

        Where the windows allow less than the budget, I-frames get a higher beta than P-frames, so that a window that
        holds one more of them than the others does not keep all of them below the rate.
        """
        best = None
        for step in (0.0,) if self.floor else I_STEPS:
            plan = self._plan_with(step, key, left, mine)
            if best is None or plan[0] < best[0] - 1:
                best = plan
            if plan[0] <= 0:
                break
        return best[1:]

    def _plan_with(
        self, step: float, key: bool, left: int | None, mine: Sequence[Trial]
    ) -> tuple[float, Choice, float]:
        """The plan with I-frames ``step`` higher in x; first how far the windows bend it towards fewer bits."""
        ledger, lines = self.ledger, self._keys.lines
        horizon = self._horizon(key, left)
        curves = {kind: np.exp(lines[kind].at(x, u=u)) for kind in (True, False) for x, u in [self._path(kind, step)]}
        ahead = np.array(self._keys.ahead(key, horizon))
        bits = np.where(ahead, curves[True][:, None], curves[False][:, None])
        if self._levels is not None:
            bits = bits * self._levels[ledger.frames : ledger.frames + horizon]
        x, u = self._path(key, step, mine)
        bits[:, 0] = self._own(key, x, u)
        if mine:
            last = mine[-1]
            bits[:, 0] *= last.bits / self._own(key, x_of(last.choice.code), _u(last.choice))
        end = ledger.frames + horizon
        budget = (ledger.rate * end if self._planned is None else self._planned[end]) - ledger.spent
        setting, ideal = steer(bits, budget, ledger)
        grid = np.arange(GRID)
        x, u, wanted = (float(np.interp(setting, grid, values)) for values in (x, u, bits[:, 0]))
        return setting - ideal, self._keys.choice(key, code_at(x), u if self.floor else None), wanted

    def _own(self, key: bool, x, u):
        """Expected bits of the next frame at ``x`` and ``u``."""
        level = 1.0 if self._levels is None else self._levels[self.ledger.frames]
        return level * np.exp(self._keys.lines[key].at(x, self._keys.dx(key, x), u))

    def _path(self, key: bool, step: float, mine: Sequence[Trial] = ()) -> tuple[np.ndarray, np.ndarray]:
        """x and u_alpha [G] at each setting of the knob, from many bits to few; I-frames ``step`` higher in x."""
        if not self.floor:
            return np.minimum(self._x + step * key, X_MAX), np.ones(GRID)
        end = self.floor.x(key, self._keys.x if mine or key is False else None, mine)
        half = GRID // 2
        u = np.append(np.ones(half), np.linspace(1, self._lowest_u, GRID - half))
        if key and self._keys.key_u is not None:
            u = np.full(GRID, self._keys.key_u)
        return np.append(np.linspace(X_MIN, end, half), np.full(GRID - half, end)), u

    def _horizon(self, key: bool, left: int | None) -> int:
        """How many frames the plan is for: to a key frame one to two seconds ahead, or two seconds."""
        second = self.ledger.second
        ahead = self._keys.ahead(key, 2 * second)
        frames = ahead.index(True, second) if True in ahead[second:] else 2 * second
        return frames if left is None else min(frames, left)

    def _will_do(self, trial: Trial, wanted: float, left: int | None) -> bool:
        """Whether a trial may stand that should have had ``wanted`` bits."""
        if self.floor and not self._keeps_floor(trial):
            return False
        full, slack = self.ledger.full, GROSS * self.ledger.full
        if left == 1:
            slack = min(slack, HELD / 2 * self.ledger.rate * (self.ledger.frames + 1))
        window = self.ledger.window_with(trial.bits)
        inside = window is None or abs(window - full) < (TOLERANCE - 0.01) * full
        return (abs(trial.bits - wanted) < slack and inside) or abs(math.log(trial.bits / wanted)) < 0.02

    def _keeps_floor(self, trial: Trial) -> bool:
        """Whether the ROI has its floor, and no more than that where the background pays for it."""
        starved = _u(trial.choice) < 1 and self.floor.ample(trial)
        x = x_of(trial.choice.code)
        return not (self.floor.short(trial) and x > X_MIN + END) and not (starved and x < X_MAX - END)

    def _miss(self, trial: Trial, wanted: float) -> tuple[bool, float]:
        """For the choice among trials, the best having the least: below the floor, bits beside the plan and window."""
        full, window = self.ledger.full, self.ledger.window_with(trial.bits)
        outside = 0.0 if window is None else max(0.0, abs(window - full) - (TOLERANCE - 0.01) * full)
        short = self.floor is not None and self.floor.short(trial)
        return short, (trial.quality is not None and -trial.quality * short) or abs(trial.bits - wanted) + 9 * outside


def _u(choice: Choice) -> float:
    return 1.0 if choice.u_alpha is None else choice.u_alpha
