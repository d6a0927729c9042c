"""Scale-space warping with flow in pixels (Agustsson et al., CVPR 2020, section 3.1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def _gaussian_kernel(sigma: float, device, dtype) -> Tensor:
    radius = math.ceil(3 * sigma)
    x = torch.arange(-radius, radius + 1, device=device, dtype=dtype)
    k = torch.exp(-0.5 * (x / sigma) ** 2)
    return k / k.sum()


def _blur(x: Tensor, kernel: Tensor) -> Tensor:
    """Separable blur of [N, C, H, W] with replicated borders."""
    c, r = x.shape[1], len(kernel) // 2
    x = F.pad(x, (r, r, r, r), mode="replicate")
    x = F.conv2d(x, kernel.view(1, 1, 1, -1).expand(c, -1, -1, -1), groups=c)
    return F.conv2d(x, kernel.view(1, 1, -1, 1).expand(c, -1, -1, -1), groups=c)


def scale_space(x: Tensor, levels: int = 5, sigma0: float = 1.5) -> Tensor:
    """Stack of ever more blurred copies of ``x`` [N, C, H, W] -> [N, C, levels + 1, H, W]; level 0 is ``x`` itself.

    Level 1 is blurred by ``sigma0`` pixels; each further one is halved in size, blurred again, and interpolated back.
    H and W must be multiples of 2^(levels - 1).
    """
    kernel = _gaussian_kernel(sigma0, x.device, x.dtype)
    volume = [x]
    x = _blur(x, kernel)
    volume.append(x)
    for i in range(1, levels):
        x = _blur(F.avg_pool2d(x, 2), kernel)
        up = x
        for _ in range(i):
            up = F.interpolate(up, scale_factor=2, mode="bilinear", align_corners=False)
        volume.append(up)
    return torch.stack(volume, dim=2)


def warp(volume: Tensor, flow: Tensor, scale: Tensor) -> Tensor:
    """Sample a scale-space volume where the flow points, at the blur that the scale field asks for.

    Args:
        volume: [N, C, D, H, W] from :func:`scale_space`.
        flow: [N, 2, H, W] displacement in pixels, x first; zero is the identity.
        scale: [N, 1, H, W] level in [0, D - 1]; 0 is no blur. Values outside are clamped.

    Returns:
        [N, C, H, W]; samples outside the frame take the nearest border pixel. Always computed in float32.
    """
    _, _, d, h, w = volume.shape
    flow, scale = flow.float(), scale.float()
    y, x = torch.meshgrid(
        torch.arange(h, device=flow.device, dtype=torch.float32),
        torch.arange(w, device=flow.device, dtype=torch.float32),
        indexing="ij",
    )
    # grid_sample with align_corners=False maps pixel i of n to (2 i + 1) / n - 1.
    gx = (2 * (x + flow[:, 0]) + 1) / w - 1
    gy = (2 * (y + flow[:, 1]) + 1) / h - 1
    gz = (2 * scale[:, 0] + 1) / d - 1
    grid = torch.stack((gx, gy, gz), dim=-1).unsqueeze(1)
    with torch.autocast(volume.device.type, enabled=False):
        out = F.grid_sample(volume.float(), grid, padding_mode="border", align_corners=False)
    return out.squeeze(2)
