"""The U-Net that fuses the perceptual frame with the base frame (Li, IEEE Access 2024, section III-A)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def _pair(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
    )


class UNet(nn.Module):
    """Encoder and decoder with skips. The paper says no more of it than that it is a U-Net; these sizes are ours.

    Args:
        inputs, outputs: channels. widths: channels of each level; every level after the first has half the resolution.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]):
        super().__init__()
        self.first = _pair(inputs, widths[0])
        self.down = nn.ModuleList(_pair(a, b, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairwise(widths))
        self.merge = nn.ModuleList(_pair(2 * a, a) for a in widths[:-1])
        self.last = nn.Conv2d(widths[0], outputs, 3, padding=1)
        self.multiple = 2 ** (len(widths) - 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]; H and W are multiples of ``multiple``."""
        levels = [self.first(x)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for up, merge in zip(reversed(self.up), reversed(self.merge)):
            x = merge(torch.cat((up(x), levels.pop()), dim=1))
        return self.last(x)
