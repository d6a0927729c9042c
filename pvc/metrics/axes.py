"""How each metric is shown and compared: its name, unit, direction, and the scale of its axis."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """One metric's axis.

    Attributes:
        title: Name in tables and plots.
        unit: Unit of :attr:`scale`'s result, empty for none.
        higher_is_better: Direction of quality.
        scale: From the recorded value to the one that is plotted and interpolated for BD-rate.
        network: What it looks through: a backbone's name, empty for none.
    """

    title: str
    unit: str = ""
    higher_is_better: bool = True
    scale: Callable[[float], float] = float
    network: str = ""

    @property
    def label(self) -> str:
        """Title with unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _similarity_db(value: float) -> float:
    """-10 log10(1 - x), at most 60 dB: similarities near 1 become distinguishable."""
    return -10 * math.log10(max(1 - value, 1e-6))


def _regions(name: str, title: str, *rest, **keywords) -> Iterator[tuple[str, Axis]]:
    """A metric of the whole frame, of the ROI and of the background."""
    for suffix, region in (("", ""), ("_roi", "ROI "), ("_bg", "Background ")):
        yield name + suffix, Axis(region + title, *rest, **keywords)


_LOWER = {"higher_is_better": False}
_AXES = dict(
    [
        *_regions("psnr", "PSNR", "dB"),
        *_regions("psnr_mse", "PSNR of mean MSE", "dB"),
        *_regions("psnr_y", "PSNR-Y", "dB"),
        *_regions("psnr_yuv", "PSNR-YUV", "dB"),
        ("wpsnr", Axis("Weighted PSNR", "dB")),
        *_regions("ssim", "SSIM", "dB", scale=_similarity_db),
        ("ms_ssim", Axis("MS-SSIM", "dB", scale=_similarity_db)),
        ("vmaf", Axis("VMAF")),
        ("vmaf_neg", Axis("VMAF NEG")),
        ("vmaf_phone", Axis("VMAF phone")),
        ("vmaf_4k", Axis("VMAF 4K")),
        *_regions("lpips", "LPIPS", network="alexnet", **_LOWER),
        *_regions("lpips_vgg", "LPIPS (VGG)", network="vgg16", **_LOWER),
        *_regions("lpips_squeeze", "LPIPS (SqueezeNet)", network="squeezenet11", **_LOWER),
        ("dists", Axis("DISTS", network="vgg16", **_LOWER)),
        *_regions("fid", "FID", network="inception", **_LOWER),
        *_regions("kid", "KID", network="inception", **_LOWER),
        *_regions("feat_squeezenet11", "SqueezeNet features", network="squeezenet11", **_LOWER),
        *_regions("feat_alexnet", "AlexNet features", network="alexnet", **_LOWER),
        *_regions("feat_vgg16", "VGG16 features", network="vgg16", **_LOWER),
        ("brisque", Axis("BRISQUE", **_LOWER)),
        ("blur", Axis("Blur", **_LOWER)),
    ]
)


def axis(metric: str) -> Axis:
    """Axis of ``metric``; one without an entry is shown as it is, higher being better."""
    return _AXES.get(metric, Axis(metric))


def in_order(metrics: set[str]) -> list[str]:
    """Metrics in the order of tables: the known ones first, then by name."""
    return [m for m in _AXES if m in metrics] + sorted(m for m in metrics if m not in _AXES)
