"""What the tests of anchors code."""

import torch
from torch import Tensor


def moving_texture(frames: int = 5, height: int = 48, width: int = 64) -> Tensor:
    """uint8 ``[T, 3, H, W]``: grey texture that moves one pixel a frame, under a smooth tint; 4:2:0 costs it little."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    texture = 128 + 60 * torch.sin(x * 0.9) * torch.cos(y * 0.7) + 20 * torch.sin((x * y) * 0.05)
    tint = torch.stack([x / width, y / height, 1 - x / width]) * 30 - 15
    return torch.stack([texture.roll(t, -1) + tint for t in range(frames)]).clamp(0, 255).to(torch.uint8)


def psnr(a: Tensor, b: Tensor) -> float:
    return float(10 * torch.log10(255**2 / (a.float() - b.float()).square().mean()))
