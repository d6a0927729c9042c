"""PSNR in RGB: of whole frames, of the region of interest (ROI) and of the background.

As in the spatial-control paper (section 4.2): per-frame scores in RGB, then the mean over frames.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pvc.metrics.base import Scores, check_pair

CAP = 100.0
"""dB. A frame's PSNR counts as at most this, so that a lossless frame (infinite PSNR) has a defined value in JSON."""


@dataclass(frozen=True)
class Psnr:
    """``psnr``, ``psnr_roi``, ``psnr_bg``: 10 log10(255^2 / mean squared error over R, G, B of the pixels that count).

    Args:
        threshold: Pixels whose importance is at least this are the ROI (m = 1), the others are background.
    """

    threshold: float = 0.5
    names = ("psnr", "psnr_roi", "psnr_bg")

    def __call__(self, reference: Tensor, decoded: Tensor, importance: Tensor | None = None) -> Scores:
        """Scores of ``decoded`` against ``reference`` (uint8 ``[T, 3, H, W]``) with the true mask (``[T, 1, H, W]``).

        Frames without ROI (or without background) do not count in that mean; a note says how many.
        """
        check_pair(reference, decoded, importance)
        roi = None if importance is None else importance >= self.threshold
        frames: dict[str, list[float]] = {name: [] for name in self.names}
        for t in range(len(reference)):
            # [H, W]; integers, so that the sum is exact whatever its order.
            error = (reference[t].int() - decoded[t].int()).square().sum(0)
            regions = {"psnr": None} if roi is None else {"psnr": None, "psnr_roi": roi[t, 0], "psnr_bg": ~roi[t, 0]}
            for name, region in regions.items():
                samples = error.reshape(-1) if region is None else error[region]
                if len(samples):
                    frames[name].append(_psnr(samples))
        return self._scores(frames, len(reference), importance is not None)

    def _scores(self, frames: dict[str, list[float]], count: int, has_mask: bool) -> Scores:
        out = Scores()
        for name, what in zip(self.names, ("", "ROI", "background"), strict=True):
            scores, notes = frames[name], []
            if not scores:
                out.unavailable[name] = f"no frame has any {what}" if has_mask else "the sequence has no mask"
                continue
            out.values[name] = math.fsum(scores) / len(scores)
            if len(scores) < count:
                notes.append(f"mean over {len(scores)} of {count} frames; the others have no {what}")
            if capped := sum(s == CAP for s in scores):
                notes.append(f"{capped} of {count} frames are lossless or close to it and count as {CAP:g} dB")
            if notes:
                out.notes[name] = "; ".join(notes)
        return out


def _psnr(squared: Tensor) -> float:
    """PSNR in dB of one frame from its pixels' squared errors summed over three channels, at most ``CAP``."""
    mse = int(squared.sum(dtype=torch.int64)) / (3 * len(squared))
    return min(CAP, 10 * math.log10(255**2 / mse)) if mse else CAP
