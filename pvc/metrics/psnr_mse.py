"""PSNR of a clip's mean squared error: one logarithm for the clip, not one a frame."""

from dataclasses import dataclass

from torch import Tensor

from pvc.metrics.base import Metric, Scores
from pvc.metrics.frame_means import FrameMeans, region_names
from pvc.metrics.psnr import CAP, frame_errors, psnr_db


@dataclass(frozen=True)
class PsnrOfMeanMse(Metric):
    """``psnr_mse``, ``psnr_mse_roi``, ``psnr_mse_bg``: 10 log10(255^2 / (1/N sum_i MSE_i)) over the N frames.

    MSE_i is that of frame i over R, G, B of the pixels that count. Source: Nasrabadi et al., "Investigating the PSNR
    calculation methods for video sequences with source and channel distortions", BMSB 2014, who find it nearer to what
    viewers say than the mean of the frames' PSNR; used by Alizada, "Saliency-guided video codec pre-processing", 2022.
    A few bad frames weigh more in it than in ``psnr``, which it never exceeds.

    Args:
        threshold: Pixels whose importance is at least this are the ROI, the others are background.
    """

    threshold: float = 0.5
    names = region_names("psnr_mse")

    def start(self) -> "_MeanMse":
        """Frames without ROI (or without background) do not count in that mean; a note says how many."""
        return _MeanMse(self.names, self._frame)

    def _frame(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
        return dict(frame_errors("psnr_mse", reference, decoded, importance, self.threshold))


class _MeanMse(FrameMeans):
    """Means of the frames' MSE, told in dB."""

    def scores(self) -> Scores:
        """PSNR of the means; a note where it is that of a lossless clip."""
        out = super().scores()
        out.values = {name: psnr_db(mse) for name, mse in out.values.items()}
        for name in (name for name, value in out.values.items() if value == CAP):
            said = f"the clip is lossless or close to it and counts as {CAP:g} dB"
            out.notes[name] = "; ".join(filter(None, [out.notes.get(name), said]))
        return out
