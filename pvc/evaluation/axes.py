"""How each metric is shown and compared: its name, unit, direction, and the scale of its axis."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """One metric's axis.

    Attributes:
        title: Name in tables and plots.
        unit: Unit of :attr:`scale`'s result, empty for none.
        higher_is_better: Direction of quality.
        scale: From the recorded value to the one that is plotted and interpolated for BD-rate.
    """

    title: str
    unit: str = ""
    higher_is_better: bool = True
    scale: Callable[[float], float] = float

    @property
    def label(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _similarity_db(value: float) -> float:
    """-10 log10(1 - x), at most 60 dB: similarities near 1 become distinguishable."""
    return -10 * math.log10(max(1 - value, 1e-6))


_AXES = {
    "psnr": Axis("PSNR", "dB"),
    "psnr_roi": Axis("ROI PSNR", "dB"),
    "psnr_bg": Axis("Background PSNR", "dB"),
    "ms_ssim": Axis("MS-SSIM", "dB", scale=_similarity_db),
    "lpips": Axis("LPIPS", higher_is_better=False),
    "dists": Axis("DISTS", higher_is_better=False),
    "fid": Axis("FID", higher_is_better=False),
    "kid": Axis("KID", higher_is_better=False),
    "niqe": Axis("NIQE", higher_is_better=False),
    "vmaf": Axis("VMAF"),
}


def axis(metric: str) -> Axis:
    """Axis of ``metric``; one without an entry is shown as it is, higher being better."""
    return _AXES.get(metric, Axis(metric))


def in_order(metrics: set[str]) -> list[str]:
    """Metrics in the order of tables: the known ones first, then by name."""
    return [m for m in _AXES if m in metrics] + sorted(m for m in metrics if m not in _AXES)
