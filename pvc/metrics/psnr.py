"""PSNR in RGB: of whole frames, of the region of interest (ROI) and of the background.

As in the spatial-control paper (section 4.2): per-frame scores in RGB, then the mean over frames.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from pvc.metrics.base import Metric
from pvc.metrics.frame_means import FrameMeans, region_names

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
        errors = frame_errors("psnr", reference, decoded, importance, self.threshold)
        return {name: psnr_db(mse) for name, mse in errors}


def frame_errors(
    name: str, reference: Tensor, decoded: Tensor, importance: Tensor | None, threshold: float
) -> Iterator[tuple[str, float]]:
    """(value's name, MSE over R, G, B) of a frame, of its ROI and of its background, where they have any pixel.

    A sum of squares below 2^51 is an integer after rounding, so the result is exact although OpenCV sums in doubles;
    that takes a twentieth of the time of the same in torch.
    """
    planes = list(zip(reference.numpy(), decoded.numpy(), strict=True))  # of R, G, B
    pixels, whole = reference[0].numel(), sum(round(cv2.norm(a, b, cv2.NORM_L2SQR)) for a, b in planes)
    yield name, whole / (3 * pixels)
    if importance is not None:
        roi = (importance[0] >= threshold).numpy().view(np.uint8)
        inside, count = sum(round(cv2.norm(a, b, cv2.NORM_L2SQR, roi)) for a, b in planes), int(np.count_nonzero(roi))
        _, roi_name, background_name = region_names(name)
        for region, error, of in ((roi_name, inside, count), (background_name, whole - inside, pixels - count)):
            if of:
                yield region, error / (3 * of)


def psnr_db(mse: float) -> float:
    """PSNR in dB from the mean squared error of 8-bit samples, at most ``CAP``."""
    return min(CAP, 10 * math.log10(255**2 / mse)) if mse else CAP
