"""A bitrate held by the choice of beta or, with a floor under the quality of the region of interest, of alpha too."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from pvc.codecs.rate_control.control import Choice, Trial
from pvc.codecs.rate_control.estimate import X_MAX, X_MIN, bits_line, correction_line, u_of, x_of
from pvc.codecs.rate_control.keys import KeyFrames
from pvc.codecs.rate_control.planner import GRID, Planner
from pvc.codecs.rate_control.survey import Survey, spread
from pvc.codecs.rate_control.target import END, Target
from pvc.codecs.rate_control.window import TOLERANCE, Ledger
from pvc.entropy.condition import BETA_MAX, BETA_MIN

MAX_TRIALS = 4
"""Codings of a frame at most, but for one more at a scene cut and two before the first frame."""
GROSS = 0.03
"""A frame is coded again when it missed what it should have by more than this part of a second's bits."""
HELD = 0.03
"""What the whole clip may differ from the asked rate."""
AHEAD = 16
"""Frames that are read ahead, at most, to see the end of a clip of unknown length coming."""


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
        lines, known, levels, planned = {key: bits_line(key, pixels) for key in (True, False)}, None, None, None
        if first is not None:
            known, before = first.survey.keys, first._keys.lines
            levels = np.exp(first.survey.levels(before))
            lines = {key: correction_line(key, before[key]) for key in (True, False)}
            curves = {key: np.exp(lines[key].at(np.linspace(X_MIN, X_MAX, GRID))) for key in (True, False)}
            planned = spread(known, levels, curves, self.ledger)
        self._keys, self._lowest_u = KeyFrames(gop, lines, key_u, known), lowest_u
        self._planner = Planner(self.ledger, self._keys, floor, lowest_u, levels, planned)
        self._codings, self._at_end = 0, {True: 0, False: 0}

    def probe(self) -> list[Choice]:
        """Two frames, an I-frame and a P-frame, to be coded before the first one: nothing is known of the clip yet."""
        if self._planner.levels is not None:
            return []
        code = self.choose(None).code
        return [self._keys.choice(True, code), Choice(False, code)]

    def learn(self, trials: Sequence[Trial]) -> None:
        """What the probe gave."""
        for trial in trials:
            x = x_of(trial.choice.code)
            self._keys.lines[trial.choice.key].observe(math.log(trial.bits), x, u=u_of(trial.choice))
        self._codings += len(trials)

    def choose(self, left: int | None, trials: Sequence[Trial] = ()) -> Choice | Trial:
        """What the plan says for the next frame; after a trial, what it should have been, or the trial."""
        key = self._keys.decide(trials)
        if isinstance(key, Choice):
            return key
        mine = [t for t in trials if t.choice.key is key]
        choice, wanted = self._planner.next(key, left, mine)
        if mine and (len(mine) >= MAX_TRIALS or choice == mine[-1].choice or self._will_do(mine[-1], wanted, left)):
            self._codings += len(trials)
            return min(mine, key=lambda trial: self._miss(trial, wanted))
        return choice

    def spent(self, trial: Trial) -> None:
        """Book the frame and learn from it."""
        choice, x = trial.choice, x_of(trial.choice.code)
        dx, u, levels = self._keys.dx(choice.key, x), u_of(choice), self._planner.levels
        self.survey.add(trial, dx)
        if self.floor:
            self.floor.spent(trial, dx)
        self._at_end[False] += u <= self._lowest_u + END if self.floor else x >= X_MAX - END
        self._at_end[True] += x <= X_MIN + END
        self._keys.spent(trial, 0.0 if levels is None else math.log(levels[self.ledger.frames]))
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
                self._planner.levels is None
            )
        end = BETA_MAX if few else BETA_MIN
        kept = f" under the floor of {self.floor.db:g} dB" if self.floor and few else f" than at beta={end:g}"
        return f": {frames} of {self.ledger.frames} frames cannot be {'smaller' if few else 'larger'}{kept}"

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
        starved = u_of(trial.choice) < 1 and self.floor.ample(trial)
        x = x_of(trial.choice.code)
        return not (self.floor.short(trial) and x > X_MIN + END) and not (starved and x < X_MAX - END)

    def _miss(self, trial: Trial, wanted: float) -> tuple[bool, float]:
        """For the choice among trials, the best having the least: below the floor, bits beside the plan and window."""
        full, window = self.ledger.full, self.ledger.window_with(trial.bits)
        outside = 0.0 if window is None else max(0.0, abs(window - full) - (TOLERANCE - 0.01) * full)
        if self.floor and self.floor.short(trial):
            return True, -trial.quality
        return False, abs(trial.bits - wanted) + 9 * outside
