"""The paper's transforms: stacks of 5x5 stride-2 (de)convolutions, as in SSF (Agustsson et al., CVPR 2020)."""

from itertools import pairwise

from compressai.models.utils import conv, deconv
from torch import Tensor, nn

from pvc.entropy.condition import BetaCondition, Conditioned
from pvc.models.rows import Synthesis


def stack(channels: list[int], layer, multirate: bool, last_activation: bool = False) -> Conditioned:
    """``layer(c_i, c_i+1)`` for neighbouring channel counts with ReLU (and beta condition) after all but the last."""
    layers: list[nn.Module] = []
    for i, (c_in, c_out) in enumerate(pairwise(channels)):
        layers.append(layer(c_in, c_out))
        if i < len(channels) - 2 or last_activation:
            layers.append(nn.ReLU(inplace=True))
            if multirate:
                layers.append(BetaCondition(c_out))
    return Conditioned(layers)


class ConvEncoder(nn.Module):
    """Four 5x5 stride-2 convolutions, [N, C, H, W] -> [N, latent, H/16, W/16].

    The importance map q enters the first layer. Writing it as a convolution of its own, added to that of the other
    inputs, is the same function as one more input channel, and zero weights leave the sum exactly as it was.
    """

    stride = 16

    def __init__(self, in_channels: int, width: int, latent: int, *, multirate: bool, roi: bool):
        super().__init__()
        self.layers = stack([in_channels, width, width, width, latent], conv, multirate)
        self.mask = nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False) if roi else None
        if self.mask is not None:
            nn.init.zeros_(self.mask.weight)

    def forward(self, x: Tensor, q: Tensor | None = None, e: Tensor | None = None) -> Tensor:
        """``x`` [N, C, H, W], ``q`` [N, 1, H, W] -> latent [N, latent, H/16, W/16]."""
        y = self.layers[0](x)
        if self.mask is not None:
            y = y + self.mask(q)
        for layer in self.layers[1:]:
            y = layer(y, e) if isinstance(layer, BetaCondition) else layer(y)
        return y


class ConvDecoder(nn.Module):
    """Four 5x5 stride-2 transposed convolutions, [N, latent, h, w] -> [N, out, 16 h, 16 w]."""

    def __init__(self, latent: int, width: int, out_channels: int, *, multirate: bool):
        super().__init__()
        self.layers = stack([latent, width, width, width], deconv, multirate, last_activation=True)
        self.layers.append(Synthesis(width, out_channels))

    def forward(self, y: Tensor, e: Tensor | None = None) -> Tensor:
        """``y`` [N, latent, h, w] -> [N, out, 16 h, 16 w]."""
        return self.layers(y, e)
