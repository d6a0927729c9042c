"""TASED-Net: Min and Corso, "TASED-Net: temporally-aggregating spatial encoder-decoder network for video saliency
detection", ICCV 2019, in the form of its authors' updated weights (21.3 M parameters).

Layers are called as in their weights file. An S3D encoder looks at a window of frames; the decoder brings the size back
by the places that the encoder's pooling chose, while the window's length shrinks to one.
"""

import torch
from torch import Tensor, nn

WINDOW = 32
"""Frames that the network looks at; the saliency is that of the last one."""

# Of each mixed block: channels of the 1x1 branch, of the two branches inside and outside, and of the pooled branch.
_MIXED = {
    "base2": [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)],
    "base3": [
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ],
    "base4": [(256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)],
}
_FLAT = {"kernel_size": (1, 3, 3), "stride": (1, 2, 2), "padding": (0, 1, 1)}  # pooling of space alone


class TasedNet(nn.Module):
    """Saliency ``[N, H, W]`` in (0, 1) of the last frame of windows ``[N, 3, 32, H, W]``, RGB in [-1, 1].

    H and W are multiples of 32; the authors' are 224 and 384.
    """

    def __init__(self) -> None:
        super().__init__()
        self.base1 = nn.Sequential(_Separable(3, 64, 7, 2), nn.MaxPool3d(**_FLAT), _Plain(64, 64), _Separable(64, 192))
        self.pool2 = nn.MaxPool3d(**_FLAT)
        self.base2, channels = _mixed(192, _MIXED["base2"])
        self.pool3 = nn.MaxPool3d(3, 2, 1)
        self.base3, channels = _mixed(channels, _MIXED["base3"])
        self.pool4 = nn.MaxPool3d((2, 1, 1))
        self.base4, channels = _mixed(channels, _MIXED["base4"])
        self.shrink = nn.MaxPool3d((4, 1, 1))  # of a window's length, beside the encoder
        self.places = nn.MaxPool3d(**_FLAT, return_indices=True)
        self.halve = nn.MaxPool3d((1, 2, 2), return_indices=True)
        self.unpool1 = nn.MaxUnpool3d((1, 2, 2))
        self.unpool = nn.MaxUnpool3d(**_FLAT)
        self.convtsp1 = nn.Sequential(nn.Conv3d(channels, 1024, 1, bias=False), *_end(1024), *_spread(1024, 832))
        self.convtsp2 = nn.Sequential(*_spread(832, 480))
        self.convtsp3 = nn.Sequential(*_spread(480, 192))
        self.convtsp4 = nn.Sequential(
            _enlarge(192, 64),
            *_end(64),
            nn.Conv3d(64, 64, (2, 1, 1), (2, 1, 1), bias=False),
            *_end(64),
            nn.ConvTranspose3d(64, 4, 1, bias=False),
            *_end(4),
            nn.Conv3d(4, 4, (2, 1, 1), (2, 1, 1), bias=False),
            *_end(4),
            _enlarge(4, 4),
            nn.Conv3d(4, 1, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        fine = self.base1(x)  # [N, 192, 16, H/4, W/4]
        middle = self.base2(self.pool2(fine))  # [N, 480, 16, H/8, W/8]
        coarse = self.base3(self.pool3(middle))  # [N, 832, 8, H/16, W/16]
        half, coarse_places = self.halve(self.pool4(coarse))
        fine, middle = self.shrink(fine), self.shrink(middle)  # four frames each, as everywhere in the decoder
        z = self.unpool1(self.convtsp1(self.base4(half)), coarse_places)
        z = self.unpool(self.convtsp2(z), self.places(middle)[1], middle.shape)
        z = self.unpool(self.convtsp3(z), self.places(fine)[1], fine.shape)
        return self.convtsp4(z)[:, 0, 0]


def _mixed(channels: int, blocks: list[tuple[int, ...]]) -> tuple[nn.Sequential, int]:
    """Blocks one after the other, and the channels that come out."""
    layers = []
    for first, inner1, outer1, inner2, outer2, pooled in blocks:
        layers.append(_Mixed(channels, first, (inner1, outer1), (inner2, outer2), pooled))
        channels = first + outer1 + outer2 + pooled
    return nn.Sequential(*layers), channels


def _end(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm3d(channels, eps=1e-3, momentum=0.001), nn.ReLU()


def _spread(channels: int, outer: int) -> list[nn.Module]:
    """A transposed convolution of 3x3 pixels that keeps the size."""
    return [nn.ConvTranspose3d(channels, outer, (1, 3, 3), padding=(0, 1, 1), bias=False), *_end(outer)]


def _enlarge(channels: int, outer: int) -> nn.Module:
    """A transposed convolution that doubles height and width."""
    return nn.ConvTranspose3d(channels, outer, (1, 4, 4), (1, 2, 2), (0, 1, 1), bias=False)


class _Plain(nn.Module):
    """A convolution of 1x1x1."""

    def __init__(self, channels: int, outer: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, outer, 1, bias=False)
        self.bn, self.relu = _end(outer)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


class _Separable(nn.Module):
    """A convolution over space, then one over time."""

    def __init__(self, channels: int, outer: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        k, s, p = kernel, stride, kernel // 2
        self.conv_s = nn.Conv3d(channels, outer, (1, k, k), (1, s, s), (0, p, p), bias=False)
        self.bn_s, self.relu_s = _end(outer)
        self.conv_t = nn.Conv3d(outer, outer, (k, 1, 1), (s, 1, 1), (p, 0, 0), bias=False)
        self.bn_t, self.relu_t = _end(outer)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu_t(self.bn_t(self.conv_t(self.relu_s(self.bn_s(self.conv_s(x))))))


class _Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, channels: int, first: int, second: tuple[int, int], third: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.branch0 = nn.Sequential(_Plain(channels, first))
        self.branch1 = nn.Sequential(_Plain(channels, second[0]), _Separable(*second))
        self.branch2 = nn.Sequential(_Plain(channels, third[0]), _Separable(*third))
        self.branch3 = nn.Sequential(nn.MaxPool3d(3, 1, 1), _Plain(channels, pooled))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), self.branch3(x)], 1)
