"""Perceptual blur (Crete et al. 2007) by scikit-image: a no-reference metric that needs no weights."""

from dataclasses import dataclass

from skimage.measure import blur_effect
from torch import Tensor

from pvc.metrics.base import Metric
from pvc.metrics.frame_means import FrameMeans


@dataclass(frozen=True)
class Blur(Metric):
    """``blur``: from 0 (sharp) to 1 (as blurred as can be) on the decoded luma alone, mean over frames.

    How much of the difference between neighbouring pixels a further blur takes away: little from a picture that is
    blurred already. It sees blur only; block edges and noise count as sharp.

    Args:
        kernel_size: Length of the further blur in pixels.
    """

    kernel_size: int = 11
    libraries = ("scikit-image",)
    names = ("blur",)

    def start(self) -> FrameMeans:
        """The reference and the mask are not used."""
        return FrameMeans(self.names, self._frame, smallest=self.kernel_size)

    def _frame(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
        return {"blur": float(blur_effect(decoded.numpy(), h_size=self.kernel_size, channel_axis=0))}
