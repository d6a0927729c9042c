"""Structural similarity (Wang et al. 2004) in RGB: of whole frames, of the ROI and of the background."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from kornia.metrics import ssim
from torch import Tensor

from pvc.errors import ConfigError
from pvc.metrics.base import Metric
from pvc.metrics.frame_means import FrameMeans, region_names, regions


@dataclass(frozen=True)
class Ssim(Metric):
    """``ssim``, ``ssim_roi``, ``ssim_bg``: means of the SSIM map over the pixels that count, then over frames.

    ``ssim`` is the number that ``piq.ssim`` gives. piq keeps its map to itself, so kornia computes it: Gaussian window
    of sigma 1.5, K1 = 0.01, K2 = 0.03, only where the window lies inside the frame, mean over R, G, B. As the authors
    recommend, frames (and the importance map) are first averaged over f x f pixels, f = round(shorter side / 256). The
    window reaches ``kernel_size // 2`` pixels beyond a region's edge, so an ROI's value sees a rim of the background.

    Args:
        threshold: Pixels whose importance is at least this are ROI.
        kernel_size: Side of the window in pixels, odd.
        downsample: Whether frames are averaged first.
    """

    threshold: float = 0.5
    kernel_size: int = 11
    downsample: bool = True
    libraries = ("kornia", "torch")
    names = region_names("ssim")

    def __post_init__(self) -> None:
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise ConfigError(f"metric ssim: kernel_size={self.kernel_size} must be odd and at least 3")

    def start(self) -> FrameMeans:
        """Frames without ROI (or without background) do not count in that mean; a note says how many."""
        return FrameMeans(self.names, self._frame, smallest=self.kernel_size)

    def _frame(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
        factor = max(1, round(min(reference.shape[-2:]) / 256)) if self.downsample else 1
        rim = self.kernel_size // 2
        pair = F.avg_pool2d(torch.stack([reference, decoded]).float() / 255, factor)  # [2, 3, h, w]
        similarity = ssim(pair[:1], pair[1:], self.kernel_size, eps=0.0, padding="valid")[0].double().mean(0)
        if importance is not None:
            importance = F.avg_pool2d(importance.float(), factor)[:, rim:-rim, rim:-rim]
        found = regions("ssim", similarity, importance, self.threshold)
        return {name: float(values.mean()) for name, values in found}
