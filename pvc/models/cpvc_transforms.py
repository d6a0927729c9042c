"""CPVC's frame encoder and decoder (Li, IEEE Access 2024, sections III-A, III-B, figure 2)."""

from compressai.models.utils import conv, deconv
from torch import nn

from pvc.entropy.condition import Conditioned
from pvc.entropy.exact import Residual

STRIDE = 4  # of the two convolutions


def resblock(channels: int) -> Residual:
    """Equation 1: convolution, ReLU, convolution, and the input on top."""
    layers = [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
    return Residual([*layers, nn.Conv2d(channels, channels, 3, padding=1)])


def resblocks(channels: int, count: int) -> list[nn.Module]:
    """Figure 2's 3Resblock, of ``count`` Resblocks: one after the other, and a long residue over all of them."""
    blocks = [resblock(channels) for _ in range(count)]
    return [Residual(blocks)] if count > 1 else blocks


def frame_encoder(inputs: int, width: int, channels: int, blocks: int) -> Conditioned:
    """[N, inputs, H, W] -> [N, channels, H/4, W/4]; ``width`` channels and ``blocks`` Resblocks at H/2, W/2."""
    first = [conv(inputs, width), *resblocks(width, blocks)]
    return Conditioned([*first, conv(width, channels), *resblocks(channels, blocks)])


def frame_decoder(channels: int, width: int, outputs: int, blocks: int) -> Conditioned:
    """The encoder's mirror image: [N, channels, h, w] -> [N, outputs, 4 h, 4 w]."""
    first = [*resblocks(channels, blocks), deconv(channels, width)]
    return Conditioned([*first, *resblocks(width, blocks), deconv(width, outputs)])
