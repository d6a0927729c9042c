"""PSNR in RGB: of whole frames, of the region of interest (ROI) and of the background.

As in the spatial-control paper (section 4.2): per-frame scores in RGB, then the mean over frames.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pvc.metrics.base import Metric
from pvc.metrics.frame_means import FrameMeans, region_names, regions

CAP = 100.0
"""dB. A frame's PSNR counts as at most this, so that a lossless frame (infinite PSNR) has a defined value in JSON."""


@dataclass(frozen=True)
class Psnr(Metric):
    """``psnr``, ``psnr_roi``, ``psnr_bg``: 10 log10(255^2 / mean squared error over R, G, B of the pixels that count).

    Args:
        threshold: Pixels whose importance is at least this are the ROI (m = 1), the others are background.
    """

    threshold: float = 0.5
    names = region_names("psnr")

    def start(self) -> FrameMeans:
        """Frames without ROI (or without background) do not count in that mean; a note says how many."""
        return FrameMeans(self.names, self._frame, cap=CAP)

    def _frame(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
        # [H, W]; integers, so that the sum is exact whatever its order.
        error = (reference.int() - decoded.int()).square().sum(0)
        return {
            name: psnr_db(int(squared.sum(dtype=torch.int64)) / (3 * len(squared)))
            for name, squared in regions("psnr", error, importance, self.threshold)
        }


def psnr_db(mse: float) -> float:
    """PSNR in dB from the mean squared error of 8-bit samples, at most ``CAP``."""
    return min(CAP, 10 * math.log10(255**2 / mse)) if mse else CAP
