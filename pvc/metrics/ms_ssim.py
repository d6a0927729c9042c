"""Multi-scale structural similarity (Wang et al. 2003) by piq, in RGB, mean over frames."""

import math
from dataclasses import dataclass

import piq
from torch import Tensor

from pvc.metrics.base import Scores, check_pair


@dataclass(frozen=True)
class MsSsim:
    """``ms_ssim``: mean over frames of piq's MS-SSIM with the paper's five scales.

    Args:
        kernel_size: Side of the Gaussian window at every scale.
    """

    kernel_size: int = 11
    scales = 5
    names = ("ms_ssim",)

    def __call__(self, reference: Tensor, decoded: Tensor, importance: Tensor | None = None) -> Scores:
        """Score of ``decoded`` against ``reference`` (uint8 ``[T, 3, H, W]``); the mask is not used."""
        check_pair(reference, decoded, importance)
        height, width = reference.shape[-2:]
        smallest = (self.kernel_size - 1) * 2 ** (self.scales - 1) + 1
        if min(height, width) < smallest:
            reason = f"five scales need at least {smallest}x{smallest} pixels, the clip is {width}x{height}"
            return Scores(unavailable={"ms_ssim": reason})
        scores = [
            piq.multi_scale_ssim(d[None].float(), r[None].float(), self.kernel_size, data_range=255.0).item()
            for r, d in zip(reference, decoded, strict=True)  # a frame at a time: memory does not grow with length
        ]
        return Scores(values={"ms_ssim": math.fsum(scores) / len(scores)})
