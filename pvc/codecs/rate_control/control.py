"""What an encoder asks before each frame and tells after it: beta, alpha, and whether it is a key frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pvc.entropy.condition import BETA_MIN, beta_to_code, code_to_beta


@dataclass(frozen=True)
class Choice:
    """How to code a frame: as I-frame or not, the code of its beta, and its u_alpha (None: the map as it was given)."""

    key: bool
    code: int
    u_alpha: float | None = None

    @property
    def beta(self) -> float:
        """The beta that is sent."""
        return code_to_beta(self.code)


@dataclass(frozen=True)
class Trial:
    """One coding of a frame: how, its bits with those of its record in the stream, and its PSNR in dB if asked for.

    ``quality`` is that of the frame as it will be decoded: of the whole, or of the region of interest (None where it
    has no pixel). ``coded`` is the encoder's own.
    """

    choice: Choice
    bits: int
    quality: float | None = None
    coded: object = None


class Control(Protocol):
    """Decides for one clip, frame by frame; one object for each coding of a clip.

    Attributes:
        look_ahead: Frames behind the one to be coded that must be known to be there, so that the end is seen coming.
        measures: Region whose PSNR a trial must have: ``""`` the whole frame, ``"_roi"``, None for no PSNR.
    """

    look_ahead: int
    measures: str | None

    def probe(self) -> list[Choice]:
        """Ways to code the first frames before anything else, only to see what they cost; may be none."""
        ...

    def learn(self, trials: Sequence[Trial]) -> None:
        """What the probe gave: one trial a choice, or fewer if the clip has fewer frames."""
        ...

    def choose(self, left: int | None, trials: Sequence[Trial] = ()) -> Choice | Trial:
        """How to code the next frame; given the trials so far, another one, or that of them which shall stand.

        Args:
            left: frames that are left to code, this one included; None if that is not known yet.
        """
        ...

    def spent(self, trial: Trial) -> None:
        """The frame is coded by ``trial``."""
        ...

    def overhead(self, bits: int) -> None:
        """The stream has ``bits`` more that belong to no frame."""
        ...

    def report(self) -> list[str]:
        """What came of it, in lines for the user; what was missed begins with ``warning:``."""
        ...


class Constant:
    """One beta for all P-frames; I-frames every ``gop`` frames, at ``share`` of it, as far as betas go, and with an
    alpha of their own if ``key_u`` is given. With a ``gop`` of 1 they have the beta.
    """

    look_ahead, measures = 0, None

    def __init__(self, beta: float, gop: int, key_u: float | None = None, share: float = 1.0):
        keys = max(BETA_MIN, beta * share) if gop > 1 else beta
        self._codes, self._gop, self._key_u, self._frame = (beta_to_code(beta), beta_to_code(keys)), gop, key_u, 0

    def probe(self) -> list[Choice]:
        """Nothing needs to be known."""
        return []

    def learn(self, trials: Sequence[Trial]) -> None:
        """Nothing is asked."""

    def choose(self, left: int | None, trials: Sequence[Trial] = ()) -> Choice | Trial:
        """The same for every frame of a kind, at the first trial."""
        key = self._frame % self._gop == 0
        return trials[0] if trials else Choice(key, self._codes[key], self._key_u if key else None)

    def spent(self, trial: Trial) -> None:
        """Count the frame."""
        self._frame += 1

    def overhead(self, bits: int) -> None:
        """Nothing depends on it."""

    def report(self) -> list[str]:
        """Nothing was asked that could be missed."""
        return []
