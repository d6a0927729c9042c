"""Patch-wise contrastive loss between the perceptual frame and the source.

Source: Li, IEEE Access 2024, equations 5 and 6; the scheme is that of CUT (Park et al., ECCV 2020).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pvc.entropy.noise import uniform
from pvc.errors import ConfigError


class PatchEncoder(nn.Module):
    """F of equation 5: five 3x3 convolutions, each with ReLU, ``[N, 3, H, W]`` -> unit vectors ``[N, C, h, w]``.

    It runs over the whole frame, which is the same as running it on each patch: a position's patch is its receptive
    field (39 x 39 pixels every 8 by default). The paper names neither channels nor strides; these are ours.

    Args:
        channels: of all layers, >= 1.
        strides: of the five convolutions.
    """

    def __init__(self, channels: int = 32, strides: Sequence[int] = (2, 2, 1, 2, 1)):
        super().__init__()
        if len(strides) != 5 or min(strides) < 1 or channels < 1:
            raise ConfigError(
                f"loss.contrastive: channels={channels} and strides={list(strides)}; the network has five "
                "convolutions with one stride of 1 or more for each"
            )
        widths = [3] + 5 * [channels]
        layers: list[nn.Module] = []
        for c_in, c_out, stride in zip(widths, widths[1:], strides, strict=False):
            layers += [nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1), nn.ReLU(inplace=True)]
        for layer in layers[::2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """See the class; ``x`` in [0, 1]."""
        return F.normalize(self.layers(2 * x - 1), dim=1)


class PatchContrastive(nn.Module):
    """Equation 6: a patch of y has to be told from the source's other patches by the source's patch at its place.

    ``-log(exp(v v+ / tau) / (exp(v v+ / tau) + sum_n exp(v v_n / tau)))``, averaged over ``patches`` random places of
    each frame, each of which is the positive of one query and a negative of all others. Features have unit length.

    F is trained jointly with the codec, by this very loss, as the projection heads of CUT are: the paper has no other
    labels to train it by, and the negatives keep it from mapping all patches to one vector.

    Args:
        patches: N, places drawn in each frame, >= 2 (frames with fewer places use all): one positive and N - 1
            negatives. The paper does not say how many; CUT draws 256.
        tau: temperature, > 0; 0.07 in the paper.
        channels, strides: see :class:`PatchEncoder`.
    """

    def __init__(
        self, patches: int = 256, tau: float = 0.07, channels: int = 32, strides: Sequence[int] = (2, 2, 1, 2, 1)
    ):
        super().__init__()
        if patches < 2 or not tau > 0:
            raise ConfigError(f"loss.contrastive: patches={patches} must be 2 or more, and tau={tau} above 0")
        self.patches, self.tau = patches, tau
        self.encoder = PatchEncoder(channels, strides)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """The loss of frames ``y`` against their source ``x``, both ``[N, 3, H, W]`` in [0, 1]; a scalar."""
        v, v_plus = self.encoder(torch.cat([y, x])).float().flatten(2).chunk(2)  # [N, C, h w]
        places = uniform((v.shape[0], v.shape[2]), v.device).argsort(1)[:, : self.patches]
        v, v_plus = (f.gather(2, places[:, None].expand(-1, f.shape[1], -1)) for f in (v, v_plus))
        return contrastive(v, v_plus, self.tau)


def contrastive(v: Tensor, v_plus: Tensor, tau: float) -> Tensor:
    """Equation 6 for features ``[N, C, P]`` of P patches: the mean over patches, each against its frame's others."""
    similarity = v.transpose(1, 2) @ v_plus / tau  # [N, query, key]
    place = torch.arange(similarity.shape[1], device=v.device).expand(len(v), -1)
    return F.cross_entropy(similarity.flatten(0, 1), place.flatten())
