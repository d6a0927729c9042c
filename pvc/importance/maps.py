"""The arithmetic of importance: masks, alpha, u_alpha and the weight of a pixel's distortion.

Source: Fathima et al., "A neural video codec with spatial rate-distortion control", WACV 2023, sections 3.2 and 3.3.
"""

import math

import torch
from torch import Tensor

from pvc.errors import ImportanceError

ALPHA_MAX = 60.0
"""Largest alpha; the smallest is 1 (section 3.3)."""


def weighted_mask(m: Tensor, u_alpha: float | Tensor) -> Tensor:
    """The map q a codec is given: ``(1 - m) u_alpha + m`` (section 3.3).

    Args:
        m: importance in [0, 1], any shape; 1 is the region of interest.
        u_alpha: in [0, 1], a number or a tensor that broadcasts against ``m`` (``[N, 1, 1, 1, 1]`` for a batch).
    """
    return torch.lerp(torch.as_tensor(u_alpha, dtype=m.dtype, device=m.device).expand_as(m), torch.ones_like(m), m)


def alpha_from_u(u_alpha: float | Tensor) -> float | Tensor:
    """Equation 5 with ``1 - u_alpha`` as input and alpha in [1, 60]: ``60^(1 - u_alpha)``.

    Raises:
        ImportanceError: a value lies outside [0, 1].
    """
    _in_range("u_alpha", u_alpha, 0.0, 1.0)
    return ALPHA_MAX ** (1 - u_alpha)


def u_from_alpha(alpha: float | Tensor) -> float | Tensor:
    """Inverse of :func:`alpha_from_u`: ``1 - log_60(alpha)``; alpha = 1 gives exactly 1.

    Raises:
        ImportanceError: a value lies outside [1, 60].
    """
    _in_range("alpha", alpha, 1.0, ALPHA_MAX)
    log = alpha.log() if isinstance(alpha, Tensor) else math.log(alpha)
    return 1 - log / math.log(ALPHA_MAX)


def distortion_weight(q: Tensor) -> Tensor:
    """Weight of a pixel's squared error, ``60^(q - 1)``.

    With ``q = weighted_mask(m, u_alpha)`` and a binary ``m`` it is 1 in the region of interest and ``1 / alpha``
    in the background: equations 2 to 4.
    """
    return ALPHA_MAX ** (q - 1)


def check_map(importance: Tensor, clip: Tensor, *, map_name: str = "importance map", clip_name: str = "clip") -> None:
    """Make sure that a map ``[T, 1, H, W]`` fits a clip ``[T, 3, H, W]``.

    Raises:
        ImportanceError: another size or length than the clip (names both), not a float in [0, 1], or not finite.
    """
    if importance.ndim != 4 or importance.shape[1] != 1:
        raise ImportanceError(f"{map_name} has shape {list(importance.shape)}; expected [frames, 1, height, width]")
    (frames, _, height, width), (t, _, h, w) = importance.shape, clip.shape
    if (height, width) != (h, w):
        raise ImportanceError(
            f"{map_name} is {width}x{height} but {clip_name} is {w}x{h}; make the map with the clip's size"
        )
    if frames != t:
        raise ImportanceError(f"{map_name} has {frames} frames but {clip_name} has {t}; give one map for each frame")
    if not importance.is_floating_point():
        raise ImportanceError(f"{map_name} is {importance.dtype}; give floating-point values in [0, 1]")
    low, high = (float(v) for v in torch.aminmax(importance))
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise ImportanceError(f"{map_name} has values from {low:g} to {high:g}; they must lie in [0, 1]")


def _in_range(name: str, value: float | Tensor, low: float, high: float) -> None:
    inside = bool(((value >= low) & (value <= high)).all()) if isinstance(value, Tensor) else low <= value <= high
    if not inside:
        raise ImportanceError(f"{name} = {value} lies outside [{low:g}, {high:g}]")
