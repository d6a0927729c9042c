"""Layers as matrix products over the rows [N H W, C] of a picture whose channels lie together (``channels_last``).

The same functions as their parents', faster on a CPU; and a product that sums over channels alone gives the same bits
with any number of threads, which a library's choice among convolution algorithms does not promise.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def shuffle(x: Tensor, r: int) -> Tensor:
    """``F.pixel_shuffle``: [N, C r r, H, W] -> [N, C, r H, r W], laid out as planes."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, h, w, c // r**2, r, r)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(n, c // r**2, h * r, w * r)


def unshuffle(x: Tensor, r: int) -> Tensor:
    """``F.pixel_unshuffle``: [N, C, r H, r W] -> [N, C r r, H, W], laid out as rows."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // r, r, w // r, r).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(n, h // r, w // r, c * r**2).permute(0, 3, 1, 2)


class Upsample(nn.PixelShuffle):
    """Pixel shuffle whose result is laid out as rows: for the middle of a network."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C r r, H, W] -> [N, C, r H, r W]."""
        r = self.upscale_factor
        n, c, h, w = x.shape
        x = x.permute(0, 2, 3, 1).reshape(n, h, w, c // r**2, r, r)
        return x.permute(0, 1, 4, 2, 5, 3).reshape(n, h * r, w * r, c // r**2).permute(0, 3, 1, 2)


class Pointwise(nn.Conv2d):
    """1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """[N, C, H, W] -> [N, outputs, H, W], of ``x * scale + shift`` where [1, C] of them are given."""
        weight, bias = self.weight.flatten(1), self.bias
        if scale is not None:
            weight, bias = weight * scale, bias + (weight * shift).sum(1)
        return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


class BlockSynthesis(nn.ConvTranspose2d):
    """[N, latent, h, w] -> [N, outputs, b h, b w]: each latent weighs a function of b x b pixels, or of 2 b x 2 b.

    Functions of 2 b x 2 b overlap those of the neighbours by half, and outside the picture the border repeats.
    """

    def __init__(self, latent: int, outputs: int, size: int, block: int):
        super().__init__(latent, outputs, size, block, padding=(size - block) // 2, bias=False)
        self.block, self.overlap = block, size == 2 * block

    def forward(self, y: Tensor) -> Tensor:
        """A pixel block sees the latents whose functions reach it; with overlap it lies between four of them.

        Always computed in float32, because a picture needs more than the 8 bits of bfloat16.
        """
        block, weight = self.block, self.weight
        with torch.autocast(y.device.type, enabled=False):
            y = y.to(weight.dtype).permute(0, 2, 3, 1)
            if not self.overlap:
                return shuffle(F.linear(y, weight.flatten(1).T).permute(0, 3, 1, 2), block)
            y = torch.cat((y[:, :1], y, y[:, -1:]), dim=1)
            y = torch.cat((y[:, :, :1], y, y[:, :, -1:]), dim=2)
            h, w = y.shape[1] - 1, y.shape[2] - 1
            # from the upper left of the four latents a block sees the lower right quarter of its function, and so on
            near = torch.cat([y[:, i : h + i, j : w + j] for i in (0, 1) for j in (0, 1)], dim=-1)
            parts = [weight[..., b : b + block, a : a + block] for b in (block, 0) for a in (block, 0)]
            out = shuffle(F.linear(near, torch.cat(parts).flatten(1).T).permute(0, 3, 1, 2), block)
            half = block // 2
            return out[..., half:-half, half:-half]


class Synthesis(nn.ConvTranspose2d):
    """5x5 transposed convolution of stride 2 to a few channels: [N, C, h, w] -> [N, outputs, 2 h, 2 w].

    One product gives what each position adds to the 25 pixels around it, and those are summed where they meet. As a
    convolution with so few channels it would leave most of a vector unit empty. Always computed in float32.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 5, stride=2, padding=2, output_padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Pixel (2 i + dy, 2 j + dx) gets tap (2 + dy - 2 a, 2 + dx - 2 b) of position (i + a, j + b)."""
        n, c, h, w = x.shape
        with torch.autocast(x.device.type, enabled=False):
            x = F.pad(x.to(self.weight.dtype), (1, 1, 1, 1))
            planes = self.weight.permute(2, 3, 1, 0).reshape(-1, c) @ x.permute(0, 2, 3, 1).reshape(-1, c).T
            # apart, as the gradient of a slice is as large as what it was cut from
            taps = planes.view(25, self.out_channels, n, h + 2, w + 2).unbind()
            parts = [self._part(taps, dy, dx) for dy in (0, 1) for dx in (0, 1)]
            out = torch.stack(parts, -1).unflatten(-1, (2, 2)).transpose(3, 4)  # [outputs, N, h, 2, w, 2]
            return out.reshape(self.out_channels, n, 2 * h, 2 * w).transpose(0, 1)

    def _part(self, taps: tuple[Tensor, ...], dy: int, dx: int) -> Tensor:
        """Every second pixel of every second row, [outputs, N, h, w]."""
        n, h, w = taps[0].shape[1], taps[0].shape[2] - 2, taps[0].shape[3] - 2
        out = self.bias[:, None, None, None].expand(-1, n, h, w).clone()
        for ky in range(dy, 5, 2):
            for kx in range(dx, 5, 2):
                top, left = 2 + (dy - ky) // 2, 2 + (dx - kx) // 2
                out.add_(taps[5 * ky + kx][..., top : top + h, left : left + w])
        return out
