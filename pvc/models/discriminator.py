"""The discriminator of the adversarial loss. Not part of a codec: neither the encoder nor the decoder has it."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from pvc.errors import ConfigError


class PatchDiscriminator(nn.Module):
    """Frames ``[N, 3, H, W]`` in [0, 1] -> logits ``[N, 1, h, w]``, one for each patch (Isola et al., CVPR 2017).

    4x4 stride-2 convolutions with leaky ReLU, then a 4x4 convolution to one channel, all with spectral normalisation
    (Miyato et al., ICLR 2018), as in HiFiC. The CPVC paper does not say what its discriminator is; this one sees
    patches of 70 x 70 pixels with three layers, and 34 x 34 with two.

    Args:
        channels: of the stride-2 layers, one each.
    """

    def __init__(self, channels: Sequence[int] = (64, 128, 256)):
        super().__init__()
        if not channels or min(channels) < 1:
            raise ConfigError(f"discriminator channels={list(channels)} must be one or more numbers of 1 or more")
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise([3, *channels]):
            layers += [spectral_norm(nn.Conv2d(c_in, c_out, 4, stride=2, padding=1)), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(channels[-1], 1, 4, padding=1)))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.layers(2 * x - 1)
