"""Operating points of controlled coding: what a point may ask for, and the control that serves it."""

from collections.abc import Mapping
from fractions import Fraction
from itertools import product
from typing import Any

from pvc.codecs.base import Point, beta_alpha_points, numbers
from pvc.codecs.rate_control.bitrate import Bitrate
from pvc.codecs.rate_control.control import Constant, Control
from pvc.codecs.rate_control.quality import Quality
from pvc.codecs.rate_control.target import Target
from pvc.errors import ConfigError
from pvc.importance import ALPHA_MAX, u_from_alpha

RANGES = {"bitrate": (0.1, 1e6), "psnr": (1.0, 99.0), "roi_psnr": (1.0, 99.0)}
"""kbit/s, dB, dB."""

SHARES = 0.01, 1.0
"""Of beta, that I-frames may have."""


def controlled(point: Mapping[str, Any]) -> list[str]:
    """What ``point`` holds instead of a beta: ``bitrate``, ``psnr``, ``roi_psnr``.

    Raises:
        ConfigError: they, or one of them and a beta, contradict each other.
    """
    asked = [key for key in RANGES if point.get(key) is not None]
    if asked and point.get("beta") is not None:
        raise ConfigError(f"beta and {asked[0]} both set the rate; give one of them")
    if "psnr" in asked and len(asked) > 1:
        raise ConfigError(f"psnr and {asked[asked[0] == 'psnr']} both set the rate; give one of them")
    return asked


def controlled_points(name: str, multirate: bool, roi: bool, settings: Mapping[str, Any]) -> list[Point] | None:
    """Points of a codec at ``settings["bitrate"]``, ``["psnr"]`` or ``["roi_psnr"]`` (lists).

    None if none is asked, or the codec has its own rates and goes on with them.

    Raises:
        ConfigError: a floor in the ROI for a codec without ROI, or a value is out of range.
    """
    lists = {key: settings.get(key) for key in RANGES}
    asked = controlled(lists)
    if not (asked and multirate):
        return None
    lists = {key: numbers(lists, key, *RANGES[key]) for key in asked}
    alphas = [point["alpha"] for point in beta_alpha_points([0.0], roi, settings)]
    if "roi_psnr" in asked:
        alphas = [alpha for alpha in alphas if alpha > 1]
        if not alphas:
            raise ConfigError(f"roi_psnr is for a model with ROI and u_alpha below 1; {name} has neither or only one")
    return [
        {**dict(zip(asked, values, strict=True)), "alpha": alpha}
        for alpha, values in product(alphas, product(*lists.values()))
    ]


def with_iframe_alphas(points: list[Point], settings: Mapping[str, Any]) -> list[Point]:
    """``points``, and those with ROI also for each of ``settings["iframe_alpha"]`` (null: that of the P-frames)."""
    if settings.get("iframe_alpha") is None:
        return points
    own = _own(settings, "iframe_alpha", 1.0, ALPHA_MAX)
    return [{**point, **more} for more in own for point in points if more == {} or point["alpha"] > 1] + [
        point for point in points if {} not in own and point["alpha"] == 1
    ]


def with_iframe_betas(points: list[Point], settings: Mapping[str, Any]) -> list[Point]:
    """``points`` for each of ``settings["iframe_beta"]``, the share of beta that I-frames have (null: the usual one).

    Raises:
        ConfigError: one is out of range, or ``points`` are at no beta.
    """
    if settings.get("iframe_beta") is None:
        return points
    own = _own(settings, "iframe_beta", *SHARES)
    if any("beta" not in point for point in points):
        raise ConfigError("iframe_beta is a share of beta, and a bitrate or quality sets the rate; leave it out")
    return [{**point, **more} for more in own for point in points]


def _own(settings: Mapping[str, Any], key: str, low: float, high: float) -> list[Point]:
    """What points have of I-frames for each value of ``settings[key]``, one or a list; nothing for null."""
    value = settings[key]
    wanted = [value] if isinstance(value, int | float | str) else list(value)
    values = numbers({key: [v for v in wanted if v is not None]}, key, low, high)
    return [{}] * (None in wanted) + [{key: value} for value in values]


def make_control(
    point: Mapping[str, Any], *, gop: int, fps: Fraction, count: int | None, size: tuple[int, int], first: Any = None
) -> Control:
    """The control for a clip of ``count`` frames (None: not known) of ``size`` (H, W) at ``point``.

    Args:
        point: ``beta``; or ``bitrate`` (kbit/s), ``psnr`` (dB), ``roi_psnr`` (dB), or ``bitrate`` and ``roi_psnr``.
            With ``alpha``, and ``iframe_alpha`` of I-frames; with ``beta``, the share ``iframe_beta`` of it that
            I-frames have (1).
        first: the control of the first pass, for the second pass of a bitrate.

    Raises:
        ConfigError: a value out of range, or a combination that contradicts itself.
    """
    asked = controlled(point)
    values = {key: numbers(point, key, *RANGES[key])[0] for key in asked}
    iframe_alpha, alpha = point.get("iframe_alpha"), point.get("alpha", 1.0)
    common = {"gop": gop, "key_u": None if iframe_alpha is None else u_from_alpha(iframe_alpha)}
    if iframe_alpha is not None and alpha == 1:
        raise ConfigError("iframe_alpha is for frames with a map and an alpha above 1; leave it out")
    if "roi_psnr" in asked and alpha == 1:
        raise ConfigError("roi_psnr is a floor in the region of interest: it needs a map and an alpha above 1")
    if not asked:
        (share,) = numbers({"iframe_beta": [point.get("iframe_beta", 1.0)]}, "iframe_beta", *SHARES)
        return Constant(point["beta"], **common, share=share)
    if point.get("iframe_beta") is not None:
        raise ConfigError(f"iframe_beta is a share of beta, and {asked[0]} sets the rate; leave it out")
    common["pixels"] = size[0] * size[1]
    floor = Target(values["roi_psnr"], "_roi", floor=True) if "roi_psnr" in values else None
    if "bitrate" not in values:
        return Quality(floor or Target(values["psnr"]), **common)
    more = {} if floor is None else {"floor": floor, "lowest_u": u_from_alpha(alpha)}
    return Bitrate(1000 * values["bitrate"], fps=fps, count=count, first=first, **common, **more)
