"""PSNR of luma, and of luma and chroma weighted 6:1:1, as codec standardisation reports it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pvc.errors import ConfigError, VideoError
from pvc.metrics.base import Metric
from pvc.metrics.frame_means import FrameMeans, region_names, regions
from pvc.metrics.psnr import CAP, psnr_db
from pvc.video import rgb_to_yuv
from pvc.video.color import check_matrix

_Y, _YUV = region_names("psnr_y"), region_names("psnr_yuv")


@dataclass(frozen=True)
class PsnrYuv(Metric):
    """``psnr_y``, ``psnr_yuv`` and their ``_roi`` and ``_bg``: 10 log10(255^2 / mean squared error) of a plane.

    Both clips are RGB and are converted alike to 8-bit 4:2:0 of limited range (:mod:`pvc.video.color`). A frame's
    ``psnr_yuv`` is (6 PSNR_Y + PSNR_U + PSNR_V) / 8 (Ohm et al. 2012, equation 4: "Comparison of the coding
    efficiency of video coding standards"); values are means over frames, each plane counts as at most 100 dB.

    Args:
        threshold: Pixels whose importance is at least this are ROI; a chroma sample has its pixels' mean importance.
        matrix: ``bt601``, ``bt709``, ``bt2020``; None is BT.601 below 720 lines and BT.709 from there.
    """

    threshold: float = 0.5
    matrix: str | None = None
    libraries = ("av",)  # converts the frames
    names = _Y + _YUV

    def __post_init__(self) -> None:
        try:
            check_matrix(self.matrix, 0)
        except VideoError as error:
            raise ConfigError(f"metric psnr_yuv: {error}") from None

    def start(self) -> FrameMeans:
        """Frames without ROI (or background) in luma (or, for ``psnr_yuv``, chroma) do not count in that mean."""
        return FrameMeans(self.names, self._frame, cap=CAP)

    def _frame(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
        planes = rgb_to_yuv(torch.stack([reference, decoded]), "yuv420p", self.matrix)  # [2, H, W], twice [2, h, w]
        half = None if importance is None else F.avg_pool2d(importance.float(), 2, ceil_mode=True)
        y, u, v = (
            {name: _psnr(squared) for name, squared in regions("psnr_y", _error(plane), q, self.threshold)}
            for plane, q in zip(planes, (importance, half, half), strict=True)
        )
        shared = ((a, b) for a, b in zip(_Y, _YUV, strict=True) if a in y and a in u)
        return y | {yuv: (6 * y[name] + u[name] + v[name]) / 8 for name, yuv in shared}


def _error(plane: Tensor) -> Tensor:
    """Squared differences ``[h, w]`` of a plane's two pictures ``[2, h, w]``; integers, so that sums are exact."""
    return (plane[0].int() - plane[1].int()).square()


def _psnr(squared: Tensor) -> float:
    return psnr_db(int(squared.sum(dtype=torch.int64)) / len(squared))
