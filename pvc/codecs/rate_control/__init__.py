"""Control of rate and quality: beta and alpha of each frame by what was really spent (``docs/rate-control.md``)."""

from pvc.codecs.rate_control.coding import FrameCoder, upcoming
from pvc.codecs.rate_control.control import Choice, Control, Trial
from pvc.codecs.rate_control.points import (
    controlled,
    controlled_points,
    make_control,
    with_iframe_alphas,
    with_iframe_betas,
)

__all__ = [
    "Choice",
    "Control",
    "FrameCoder",
    "Trial",
    "controlled",
    "controlled_points",
    "make_control",
    "upcoming",
    "with_iframe_alphas",
    "with_iframe_betas",
]
