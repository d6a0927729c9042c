"""Saliency-weighted perceptual loss.

Source: Li, "Semantics-guided and saliency-focused learning of perceptual video compression", IEEE Access 2024,
equation 7; the plain loss is Johnson et al., ECCV 2016.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pvc.errors import ConfigError


class SaliencyPerceptual(nn.Module):
    """``MSE(M VGG16(x_hat), M VGG16(x))`` (equation 7), averaged over the layers where there are several.

    M is the saliency map, 1 where it is at least ``threshold`` and ``background`` elsewhere. On a layer's grid it is
    the mean over the pixels of each position, so that what is smaller than a position counts by its area. The mean of
    the MSE goes over all positions, those outside of M too, as printed: a clip with little that is salient weighs less.

    Args:
        features: makes the backbone, frames RGB ``[N, 3, H, W]`` in [0, 255] -> list of ``[N, C, h, w]``, frozen (the
            paper: relu4_3 of VGG16, see :func:`pvc.metrics.named_features.named_features`).
        threshold: from which saliency on M is 1, in [0, 1]; 0.5 in the paper.
        background: M elsewhere, in [0, 1]; 0 in the paper. 1 is the plain perceptual loss of table 2.
    """

    def __init__(self, features: Callable[[], nn.Module], threshold: float = 0.5, background: float = 0.0):
        super().__init__()
        for key, value in (("threshold", threshold), ("background", background)):
            if not 0 <= value <= 1:
                raise ConfigError(f"loss.perceptual.{key}={value} must lie in [0, 1]")
        self.features, self.threshold, self.background = features(), threshold, background

    def forward(self, x_hat: Tensor, x: Tensor, saliency: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            x_hat, x: ``[N, 3, H, W]`` in [0, 1].
            saliency: ``[N, 1, H, W]`` in [0, 1].
        """
        with torch.no_grad():
            wanted = self.features(x * 255)
        mask = torch.where(saliency >= self.threshold, 1.0, self.background).to(x)
        losses = []
        for f_hat, f in zip(self.features(x_hat * 255), wanted, strict=True):
            m = F.adaptive_avg_pool2d(mask, f.shape[-2:])
            losses.append((m * (f_hat - f)).float().square().mean())
        return torch.stack(losses).mean()
