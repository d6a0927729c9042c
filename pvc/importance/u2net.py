"""U2-Net: Qin et al., "U2-Net: going deeper with nested U-structure for salient object detection", 2020.

Layers are called as in the authors' weights files ``u2net.pth`` (44.0 M parameters) and ``u2netp.pth`` (1.1 M).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Depth, inner and outer channels of the six encoder stages, then of decoder stages 5 to 1 (table 2 of the paper). The
# last two encoder stages and the first decoder stage dilate instead of pooling: depth 0.
_LAYOUTS = {
    "u2net": [
        *((7, 32, 64), (6, 32, 128), (5, 64, 256), (4, 128, 512), (0, 256, 512), (0, 256, 512)),
        *((0, 256, 512), (4, 128, 256), (5, 64, 128), (6, 32, 64), (7, 16, 64)),
    ],
    "u2netp": [(depth, 16, 64) for depth in (7, 6, 5, 4, 0, 0, 0, 4, 5, 6, 7)],
}
_DILATED = (1, 2, 4, 8)  # of the layers of a stage that does not pool


class U2Net(nn.Module):
    """Saliency ``[N, 1, H, W]`` in [0, 1] of normalised RGB ``[N, 3, H, W]``; ``layout`` is u2net or u2netp."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        stages = _LAYOUTS[layout]
        encoder, decoder = stages[:6], stages[6:]
        channels = 3
        for i, (depth, inner, outer) in enumerate(encoder, 1):
            setattr(self, f"stage{i}", _Stage(depth, channels, inner, outer))
            channels = outer
        sides = {6: channels}
        for i, (depth, inner, outer) in zip(range(5, 0, -1), decoder):
            setattr(self, f"stage{i}d", _Stage(depth, channels + encoder[i - 1][2], inner, outer))
            channels = sides[i] = outer
        for i, outer in sides.items():
            setattr(self, f"side{i}", nn.Conv2d(outer, 1, 3, padding=1))
        self.outconv = nn.Conv2d(6, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        passed, size = [], x.shape[-2:]
        for i in range(1, 7):
            x = getattr(self, f"stage{i}")(x if i == 1 else _half(x))
            passed.append(x)
        sides = [self.side6(x)]
        for i in range(5, 0, -1):
            skip = passed[i - 1]
            x = getattr(self, f"stage{i}d")(torch.cat([_enlarged(x, skip.shape[-2:]), skip], 1))
            sides.insert(0, getattr(self, f"side{i}")(x))
        return torch.sigmoid(self.outconv(torch.cat([_enlarged(side, size) for side in sides], 1)))


class _Stage(nn.Module):
    """A residual U-block: a small U-Net of ``depth`` levels (0: four levels that dilate) around a convolution."""

    def __init__(self, depth: int, channels: int, inner: int, outer: int) -> None:
        super().__init__()
        self.pools, self.levels = depth > 0, depth or len(_DILATED)
        last = 2 if self.pools else _DILATED[-1]
        dilation = [1] * (self.levels - 1) + [last] if self.pools else list(_DILATED)
        self.rebnconvin = _Layer(channels, outer)
        for i, d in enumerate(dilation, 1):
            setattr(self, f"rebnconv{i}", _Layer(outer if i == 1 else inner, inner, d))
        for i in range(self.levels - 1, 0, -1):
            setattr(self, f"rebnconv{i}d", _Layer(2 * inner, outer if i == 1 else inner, dilation[i - 1]))

    def forward(self, x: Tensor) -> Tensor:
        x = first = self.rebnconvin(x)
        passed = []
        for i in range(1, self.levels):
            x = getattr(self, f"rebnconv{i}")(_half(x) if self.pools and i > 1 else x)
            passed.append(x)
        x = getattr(self, f"rebnconv{self.levels}")(x)
        for i in range(self.levels - 1, 0, -1):
            skip = passed[i - 1]
            x = getattr(self, f"rebnconv{i}d")(torch.cat([_enlarged(x, skip.shape[-2:]), skip], 1))
        return x + first


class _Layer(nn.Module):
    def __init__(self, channels: int, outer: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(channels, outer, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(outer)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn_s1(self.conv_s1(x)))


def _half(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def _enlarged(x: Tensor, size: torch.Size) -> Tensor:
    return x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)
