"""Multi-scale structural similarity (Wang et al. 2003) by piq, in RGB, mean over frames."""

from dataclasses import dataclass

import piq
from torch import Tensor

from pvc.metrics.base import Metric
from pvc.metrics.frame_means import FrameMeans


@dataclass(frozen=True)
class MsSsim(Metric):
    """``ms_ssim``: mean over frames of piq's MS-SSIM with the paper's five scales.

    Args:
        kernel_size: Side of the Gaussian window at every scale.
    """

    kernel_size: int = 11
    scales = 5
    libraries = ("piq", "torch")
    names = ("ms_ssim",)

    def start(self) -> FrameMeans:
        """Five scales need frames of at least 16 (kernel_size - 1) + 1 pixels a side; the mask is not used."""
        return FrameMeans(self.names, self._frame, smallest=(self.kernel_size - 1) * 2 ** (self.scales - 1) + 1)

    def _frame(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
        pair = decoded[None].float(), reference[None].float()
        return {"ms_ssim": piq.multi_scale_ssim(*pair, self.kernel_size, data_range=255.0).item()}
