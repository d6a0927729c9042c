"""Scale-space warping with flow in pixels (Agustsson et al., CVPR 2020, section 3.1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def _gaussian(sigma: float) -> list[float]:
    """The right half of a Gaussian window of 2 ceil(3 sigma) + 1 taps, from its middle on; the whole sums to 1."""
    taps = [math.exp(-0.5 * (x / sigma) ** 2) for x in range(math.ceil(3 * sigma) + 1)]
    total = 2 * sum(taps) - taps[0]
    return [t / total for t in taps]


# What follows adds shifted copies: on a CPU that is several times faster than convolutions with so few channels, and
# the order of summation is fixed, whatever the number of threads.


def _blur_rows(x: Tensor, taps: list[float]) -> Tensor:
    r, h = len(taps) - 1, x.shape[-2]
    padded = F.pad(x, (0, 0, r, r), mode="replicate")
    out = x * taps[0]
    for i, tap in enumerate(taps[1:], 1):
        out.add_(padded[..., r - i : r - i + h, :], alpha=tap).add_(padded[..., r + i : r + i + h, :], alpha=tap)
    return out


def _blur_columns(x: Tensor, taps: list[float]) -> Tensor:
    r, w = len(taps) - 1, x.shape[-1]
    padded = F.pad(x, (r, r, 0, 0), mode="replicate")
    out = x * taps[0]
    for i, tap in enumerate(taps[1:], 1):
        out.add_(padded[..., r - i : r - i + w], alpha=tap).add_(padded[..., r + i : r + i + w], alpha=tap)
    return out


def _halve(x: Tensor) -> Tensor:
    """2x2 means of [N, C, H, W]."""
    x = x[..., ::2, :] + x[..., 1::2, :]
    return (x[..., ::2] + x[..., 1::2]).mul_(0.25)


def _double(x: Tensor) -> Tensor:
    """Bilinear interpolation of [N, C, H, W] to twice the size, pixel centres aligned as areas are."""
    n, c, h, w = x.shape
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    middle = x[..., 1:-1] * 0.75
    sides = (torch.add(middle, x[..., i : i + w], alpha=0.25) for i in (0, 2))
    x = torch.stack(tuple(sides), dim=-1).view(n, c, h + 2, 2 * w)
    middle = x[..., 1:-1, :] * 0.75
    sides = (torch.add(middle, x[..., i : i + h, :], alpha=0.25) for i in (0, 2))
    return torch.stack(tuple(sides), dim=-2).view(n, c, 2 * h, 2 * w)


def scale_space(x: Tensor, levels: int = 5, sigma0: float = 1.5) -> list[Tensor]:
    """Ever more blurred copies of ``x`` [N, C, H, W], ``levels + 1`` of that shape; level 0 is ``x`` itself.

    Level 1 is blurred by ``sigma0`` pixels; each further one is halved in size, blurred again, and interpolated back.
    H and W must be multiples of 2^(levels - 1).
    """
    taps = _gaussian(sigma0)
    volume = [x]
    for i in range(levels):
        x = _blur_columns(_blur_rows(_halve(x) if i else x, taps), taps)
        up = x
        for _ in range(i):
            up = _double(up)
        volume.append(up)
    return volume


def warp(volume: list[Tensor], flow: Tensor, scale: Tensor) -> Tensor:
    """Sample a scale-space volume where the flow points, at the blur that the scale field asks for.

    Trilinear: two levels for each pixel, weighted by how near they are, and bilinear in them. Sampling every level
    costs less than a trilinear sampler, because that for two dimensions is the one that libraries have made fast.

    Args:
        volume: levels [N, C, H, W] from :func:`scale_space`.
        flow: [N, 2, H, W] displacement in pixels, x first; zero is the identity.
        scale: [N, 1, H, W] level in [0, levels]; 0 is no blur. Values outside are clamped.

    Returns:
        [N, C, H, W]; samples outside the frame take the nearest border pixel. Always computed in float32.
    """
    h, w = volume[0].shape[-2:]
    flow, scale = flow.float(), scale.float().clamp(0, len(volume) - 1)
    y = torch.arange(h, device=flow.device, dtype=torch.float32)[:, None]
    x = torch.arange(w, device=flow.device, dtype=torch.float32)
    # grid_sample with align_corners=False maps pixel i of n to (2 i + 1) / n - 1.
    gx = (2 * (x + flow[:, 0]) + 1) / w - 1
    gy = (2 * (y + flow[:, 1]) + 1) / h - 1
    grid = torch.stack((gx, gy), dim=-1)
    few = flow.device.type == "cpu" and not torch.is_grad_enabled() and len(flow) == 1
    out = None
    with torch.autocast(flow.device.type, enabled=False):
        for i, level in enumerate(volume):
            if few and i > 1:  # far from level 0 there are few pixels
                _add_some(out, level.float(), grid, scale, i)
                continue
            sample = F.grid_sample(level.float(), grid, padding_mode="border", align_corners=False)
            weight = (1 - (scale - i).abs()).clamp(min=0)
            out = sample * weight if out is None else torch.addcmul(out, sample, weight)
    return out


def _add_some(out: Tensor, level: Tensor, grid: Tensor, scale: Tensor, i: int) -> None:
    """Add to ``out`` [1, C, H, W] what ``level`` ``i`` gives, where it gives something."""
    where = ((scale > i - 1) & (scale < i + 1)).flatten().nonzero()[:, 0]
    sample = F.grid_sample(level, grid.view(1, 1, -1, 2)[:, :, where], padding_mode="border", align_corners=False)
    weight = 1 - (scale.flatten()[where] - i).abs()
    out.view(out.shape[1], -1).index_add_(1, where, sample[0, :, 0] * weight)
