"""Bits and quality of a frame before it is coded, predicted from the frames that were.

Both follow one line: ``y = level - slope x - jump dx - alpha (1 - u)`` with ``x`` the natural logarithm of beta / 1e-3,
``dx`` its change since the frame before, and ``u`` the map's u_alpha. ``y`` is the natural logarithm of a frame's bits,
or its PSNR in dB. The coefficients differ from clip to clip and within it, so they are estimated anew with each frame.
The starting values are those of mr-md-ssf-tiny on the held-out training scenes (``docs/rate-control.md``).
"""

import math

import numpy as np

from pvc.codecs.rate_control.control import Choice
from pvc.entropy.condition import BETA_MAX, BETA_MIN, beta_to_code, code_to_beta

BETA_0 = 1e-3
X_MIN, X_MAX = math.log(BETA_MIN / BETA_0), math.log(BETA_MAX / BETA_0)


def code_at(x: float) -> int:
    """The 16-bit code of the beta at ``x``."""
    return beta_to_code(BETA_0 * math.exp(min(max(x, X_MIN), X_MAX)))


def x_of(code: int) -> float:
    """ln(beta / 1e-3) of the beta that ``code`` stands for."""
    return math.log(code_to_beta(code) / BETA_0)


def u_of(choice: Choice) -> float:
    """The u_alpha of a choice, 1 for maps that are used as they were given."""
    return 1.0 if choice.u_alpha is None else choice.u_alpha


class Line:
    """One line, kept up to date by a Kalman filter over its coefficients.

    Args:
        level, slope, jump, alpha: the coefficients before anything was seen.
        spread: how far off each of them may be (standard deviation).
        drift: how far the level moves from one frame to the next; noise: how far a frame may lie off the line.
    """

    def __init__(
        self,
        level: float,
        slope: float,
        jump: float = 0.0,
        alpha: float = 0.0,
        *,
        spread: tuple[float, float, float, float],
        drift: float,
        noise: float,
    ):
        self._theta = np.array([level, slope, jump, alpha])
        self._lowest = np.array([-np.inf, 0.4 * slope, 0.0, 0.4 * alpha])  # more beta never means more bits
        self._cov = np.diag(np.square(spread))
        self._drift, self._noise = drift**2, noise**2

    @property
    def slope(self) -> float:
        """Of ``y`` over ``x`` when beta changes for good."""
        return float(self._theta[1])

    @property
    def own_slope(self) -> float:
        """Of ``y`` over ``x`` when only this frame's beta changes: what another coding of the same frame would do."""
        return float(self._theta[1] + self._theta[2])

    @property
    def alpha(self) -> float:
        """Of ``y`` over ``1 - u``."""
        return float(self._theta[3])

    def at(self, x, dx=0.0, u=1.0) -> np.ndarray:
        """``y`` at numbers or arrays that broadcast against each other."""
        level, slope, jump, alpha = self._theta
        return level - slope * np.asarray(x) - jump * np.asarray(dx) - alpha * (1 - np.asarray(u))

    def observe(self, y: float, x: float, dx: float = 0.0, u: float = 1.0) -> None:
        """A frame came out at ``y``. What lies far off the line is taken for other content: the level jumps there."""
        phi = np.array([1.0, -x, -dx, u - 1])
        self._cov[0, 0] += self._drift
        error = y - phi @ self._theta
        if error**2 > 9 * (phi @ self._cov @ phi + self._noise):
            self._cov[0, 0] += error**2
        gain = self._cov @ phi / (phi @ self._cov @ phi + self._noise)
        self._theta = np.maximum(self._theta + gain * error, self._lowest)
        self._cov -= np.outer(gain, phi @ self._cov)


def bits_line(key: bool, pixels: int) -> Line:
    """log bits of a frame of ``pixels`` pixels."""
    size = math.log(pixels)
    if key:
        return Line(size - 0.68, 0.62, 0.0, 1.6, spread=(0.7, 0.12, 0.0, 0.2), drift=0.1, noise=0.03)
    return Line(size - 2.20, 0.73, 0.3, 1.2, spread=(0.9, 0.12, 0.3, 0.2), drift=0.08, noise=0.1)


def correction_line(key: bool, first: Line) -> Line:
    """What a second pass adds to the log bits of the first pass; slopes as ``first`` learnt them."""
    slopes = (first.slope, first.own_slope - first.slope, first.alpha)
    return Line(0.0, *slopes, spread=(0.1, 0.05, 0.05, 0.1), drift=0.03, noise=0.03 if key else 0.1)


def psnr_line(key: bool) -> Line:
    """PSNR of a frame in dB. It hardly depends on alpha inside the region of interest (by 0.03 dB)."""
    if key:
        return Line(31.4, 2.9, spread=(4.0, 0.3, 0.0, 0.0), drift=0.2, noise=0.05)
    return Line(30.5, 2.6, -0.9, spread=(4.0, 0.5, 0.6, 0.0), drift=0.1, noise=0.1)
