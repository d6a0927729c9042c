"""Importance-weighted PSNR: the map itself, with all its shades, says how much a pixel counts."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pvc.metrics.base import Metric
from pvc.metrics.frame_means import FrameMeans
from pvc.metrics.psnr import CAP, psnr_db


@dataclass(frozen=True)
class Wpsnr(Metric):
    """``wpsnr``: 10 log10(255^2 / WMSE) of each frame in RGB, then the mean over frames.

    WMSE = sum_p q_p e_p / sum_p q_p, where e_p is the mean of the squared errors of pixel p's R, G, B and q_p in [0, 1]
    its importance as the data set gives it. With a mask of zeros and ones that is ``psnr_roi``.
    """

    names = ("wpsnr",)

    def start(self) -> FrameMeans:
        """Frames whose importance is 0 everywhere do not count."""
        return FrameMeans(self.names, _frame, lacking={"wpsnr": "importance"}, by_map=self.names, cap=CAP)


def _frame(reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
    if importance is None or not (weights := importance[0].double()).any():
        return {}
    error = (reference.int() - decoded.int()).square().sum(0, dtype=torch.float64) / 3  # [H, W]
    return {"wpsnr": psnr_db(float((weights * error).sum() / weights.sum()))}
