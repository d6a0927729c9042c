"""Scale-space warping with flow in pixels (Agustsson et al., CVPR 2020, section 3.1).

On a CPU blurs are sums of shifted copies: several times faster than convolutions with so few channels, and the order of
summation is fixed, whatever the number of threads. On a GPU, where what counts is how often a kernel is started, they
are the library's convolutions, and one trilinear sampler does what six bilinear ones do here.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_BILINEAR, _BORDER = 0, 1  # of aten's samplers

# Weights of the eight pixels around a place half way between two (ITU-T H.265, table 8-11), from the left.
_HALF_WAY = tuple(tap / 64 for tap in (-1, 4, -11, 40, 40, -11, 4, -1))


def _gaussian(sigma: float) -> list[float]:
    """The right half of a Gaussian window of 2 ceil(3 sigma) + 1 taps, from its middle on; the whole sums to 1."""
    taps = [math.exp(-0.5 * (x / sigma) ** 2) for x in range(math.ceil(3 * sigma) + 1)]
    total = 2 * sum(taps) - taps[0]
    return [t / total for t in taps]


def _filter(x: Tensor, padded: Tensor, taps: list[float], dim: int) -> Tensor:
    """``x`` filtered along ``dim``; ``padded`` is ``x`` with as many more on both sides as there are side taps."""
    r, size = len(taps) - 1, x.shape[dim]
    out = x * taps[0]
    for i, tap in enumerate(taps[1:], 1):
        out.add_(padded.narrow(dim, r - i, size), alpha=tap).add_(padded.narrow(dim, r + i, size), alpha=tap)
    return out


def _sides(dim: int, r: int) -> tuple[int, int, int, int]:
    return (0, 0, r, r) if dim == -2 else (r, r, 0, 0)


class _Blur(torch.autograd.Function):
    """Filters [N, C, H, W] along one dimension, the border repeated; derivatives would keep every shifted copy."""

    @staticmethod
    def forward(ctx, x: Tensor, taps: list[float], dim: int) -> Tensor:
        ctx.taps, ctx.dim = taps, dim
        return _filter(x, F.pad(x, _sides(dim, len(taps) - 1), mode="replicate"), taps, dim)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        """The taps are symmetric; what fell on the repeated border belongs to the border."""
        taps, dim = ctx.taps, ctx.dim
        r, size = len(taps) - 1, grad.shape[dim]
        out = _filter(grad, F.pad(grad, _sides(dim, r)), taps, dim)
        for j in range(min(r, size)):
            beyond = sum(taps[j + 1 :])
            out.narrow(dim, 0, 1).add_(grad.narrow(dim, j, 1), alpha=beyond)
            out.narrow(dim, size - 1, 1).add_(grad.narrow(dim, size - 1 - j, 1), alpha=beyond)
        return out, None, None


def _blur(x: Tensor, sigma: float) -> Tensor:
    if x.is_cuda:
        return _blur_by_convolution(x, sigma)
    taps = _gaussian(sigma)
    return _Blur.apply(_Blur.apply(x, taps, -2), taps, -1)


def _blur_by_convolution(x: Tensor, sigma: float) -> Tensor:
    r, c = math.ceil(3 * sigma), x.shape[1]
    # made on the device: a copy from the host would be waited for
    taps = torch.exp(-0.5 * (torch.arange(-r, r + 1, device=x.device, dtype=torch.float64) / sigma) ** 2)
    taps = (taps / taps.sum()).to(x.dtype).expand(c, 1, -1)
    return F.conv2d(F.conv2d(bordered(x, r), taps[..., None], groups=c), taps[:, :, None], groups=c)


def bordered(x: Tensor, r: int, dims: tuple[int, ...] = (-2, -1)) -> Tensor:
    """``F.pad(x, ..., mode="replicate")`` by ``r`` along ``dims``; Inductor derives that for one of another layout."""
    for dim in dims:
        size = [r if d == dim % x.ndim else -1 for d in range(x.ndim)]
        first, last = x.narrow(dim, 0, 1), x.narrow(dim, x.shape[dim] - 1, 1)
        x = torch.cat((first.expand(size), x, last.expand(size)), dim=dim)
    return x.contiguous()


def _halve(x: Tensor) -> Tensor:
    """2x2 means of [N, C, H, W]."""
    if x.is_cuda:
        return F.avg_pool2d(x, 2)
    x = x[..., ::2, :] + x[..., 1::2, :]
    return (x[..., ::2] + x[..., 1::2]).mul_(0.25)


def _double(x: Tensor) -> Tensor:
    """Bilinear interpolation of [N, C, H, W] to twice the size, pixel centres aligned as areas are."""
    if x.is_cuda:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    n, c, h, w = x.shape
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    middle = x[..., 1:-1] * 0.75
    sides = (torch.add(middle, x[..., i : i + w], alpha=0.25) for i in (0, 2))
    x = torch.stack(tuple(sides), dim=-1).view(n, c, h + 2, 2 * w)
    middle = x[..., 1:-1, :] * 0.75
    sides = (torch.add(middle, x[..., i : i + h, :], alpha=0.25) for i in (0, 2))
    return torch.stack(tuple(sides), dim=-2).view(n, c, 2 * h, 2 * w)


def _undouble(g: Tensor) -> Tensor:
    """Adjoint of :func:`_double`: [N, C, 2 H, 2 W] -> [N, C, H, W]."""
    for dim in (-2, -1):
        p = F.pad(g, _sides(dim, 1), mode="replicate").transpose(dim, -1)
        near, far = p[..., 1:-1:2] + p[..., 2::2], p[..., :-2:2] + p[..., 3::2]
        g = near.mul_(0.75).add_(far, alpha=0.25).transpose(dim, -1)
    return g


def half_pixels(x: Tensor) -> Tensor:
    """``x`` [N, C, H, W] and what lies half way between its pixels [N, C, 2 H, 2 W], those at even places.

    Bilinear interpolation of this keeps detail that bilinear interpolation of ``x`` blurs, as in H.264, and looks at as
    few values.
    """
    r = len(_HALF_WAY) // 2
    for dim in (-2, -1):
        padded, size = bordered(x, r, (dim,)), x.shape[dim]
        between = padded.narrow(dim, 1, size - 1) * _HALF_WAY[0]
        for i, tap in enumerate(_HALF_WAY[1:], 2):
            between = between.add_(padded.narrow(dim, i, size - 1), alpha=tap)
        between = torch.cat((between, x.narrow(dim, size - 1, 1)), dim=dim)  # beyond the last there is the border
        x = torch.stack((x, between), dim=dim).flatten(dim - 1, dim)
    return x


def scale_space(x: Tensor, levels: int = 5, sigma0: float = 1.5) -> list[Tensor]:
    """Ever more blurred copies of ``x`` [N, C, H, W], ``levels + 1``; level 0 is ``x`` itself.

    Level 1 is blurred by ``sigma0`` pixels; each further one is halved in size and blurred again, so level i > 0 is
    [N, C, H / 2^(i - 1), W / 2^(i - 1)]; :func:`enlarged` interpolates it back. H and W must be multiples of
    2^(levels - 1).
    """
    volume = [x]
    for i in range(levels):
        volume.append(_blur(_halve(volume[i]) if i else x, sigma0))
    return volume


def enlarged(volume: list[Tensor], i: int) -> Tensor:
    """Level ``i`` of a scale space in the size of level 0."""
    x = volume[i]
    for _ in range(i - 1):
        x = _double(x)
    return x


def _grid(flow: Tensor, level: Tensor | None = None) -> Tensor:
    """[N, H, W, 2]: where each pixel is taken from, in the coordinates of ``F.grid_sample``.

    ``level`` is what is sampled; one of several times the size holds pixel i at place i times as many.
    """
    h, w = flow.shape[-2:]
    times = 1 if level is None else level.shape[-1] // w
    y = torch.arange(h, device=flow.device, dtype=torch.float32)[:, None]
    x = torch.arange(w, device=flow.device, dtype=torch.float32)
    # grid_sample with align_corners=False maps pixel i of n to (2 i + 1) / n - 1.
    places = ((2 * times * (a + b) + 1) / (times * n) - 1 for a, b, n in ((x, flow[:, 0], w), (y, flow[:, 1], h)))
    return torch.stack(tuple(places), dim=-1)


def _blank(volume: list[Tensor], flow: Tensor) -> Tensor:
    return flow.new_zeros(len(flow), volume[0].shape[1], *flow.shape[-2:])


def _weight(scale: Tensor, i: int) -> Tensor:
    return (1 - (scale - i).abs()).clamp_(min=0)


class _Warp(torch.autograd.Function):
    """Trilinear sampling as one bilinear one for each level, which libraries have made fast on a CPU.

    Keeps the levels in their own size, and enlarges them once more for the derivatives.
    """

    @staticmethod
    def forward(ctx, flow: Tensor, scale: Tensor, *volume: Tensor) -> Tensor:
        grids, level = [_grid(flow, volume[0]), _grid(flow)], scale.clamp(0, len(volume) - 1)
        out, slope = _blank(volume, flow), _blank(volume, flow)
        for i in range(len(volume)):
            sample = F.grid_sample(enlarged(volume, i), grids[i > 0], padding_mode="border", align_corners=False)
            out.addcmul_(sample, _weight(level, i))
            # derivative by the scale: the level above less the one below
            slope.addcmul_(sample, ((level >= i - 1) & (level < i)).float() - ((level >= i) & (level < i + 1)).float())
        ctx.save_for_backward(flow, scale, slope, *volume)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        flow, scale, slope, *volume = ctx.saved_tensors
        # the library's derivatives look where a place that is no number points to; the rest of the step tells of it
        grids, top = [torch.nan_to_num(_grid(flow, level)) for level in (volume[0], None)], len(volume) - 1
        level, of_grid, of_volume = scale.clamp(0, top), torch.zeros_like(grids[0]), []
        wanted = any(ctx.needs_input_grad[2:]), True
        for i in range(top + 1):
            share = grad * _weight(level, i)
            of_level, part = torch.ops.aten.grid_sampler_2d_backward(
                share, enlarged(volume, i), grids[i > 0], _BILINEAR, _BORDER, False, wanted
            )
            of_grid += part
            for _ in range(i - 1) if wanted[0] else ():
                of_level = _undouble(of_level)
            of_volume.append(of_level if ctx.needs_input_grad[2 + i] else None)
        h, w = flow.shape[-2:]
        of_flow = of_grid.permute(0, 3, 1, 2) * torch.tensor((2 / w, 2 / h)).view(2, 1, 1)
        of_scale = (grad * slope).sum(1, keepdim=True) * ((scale >= 0) & (scale <= top))
        return of_flow, of_scale, *of_volume


def warp(volume: list[Tensor], flow: Tensor, scale: Tensor) -> Tensor:
    """Sample a scale space where the flow points, at the blur that the scale field asks for.

    Trilinear: two levels for each pixel, weighted by how near they are, and bilinear in them.

    Args:
        volume: levels from :func:`scale_space`; the first may be :func:`half_pixels` of level 0.
        flow: [N, 2, H, W] displacement in pixels, x first; zero is the identity.
        scale: [N, 1, H, W] level in [0, levels]; 0 is no blur. Values outside are clamped.

    Returns:
        [N, C, H, W]; samples outside the frame take the nearest border pixel. Always computed in float32.
    """
    with torch.autocast(flow.device.type, enabled=False):
        flow, scale, volume = flow.float(), scale.float(), [level.float() for level in volume]
        if flow.is_cuda:
            return _warp_at_once(volume, flow, scale)
        if torch.is_grad_enabled() or len(flow) > 1:
            return _Warp.apply(flow, scale, *volume)
        grids, scale = [_grid(flow, volume[0]), _grid(flow)], scale.clamp(0, len(volume) - 1)
        out = _blank(volume, flow)
        for i in range(len(volume)):
            if i > 1:  # far from level 0 there are few pixels
                _add_some(out, enlarged(volume, i), grids[1], scale, i)
                continue
            sample = F.grid_sample(enlarged(volume, i), grids[i], padding_mode="border", align_corners=False)
            out.addcmul_(sample, _weight(scale, i))
        return out


def _warp_at_once(volume: list[Tensor], flow: Tensor, scale: Tensor) -> Tensor:
    """The same by the library's sampler for three dimensions; a level 0 of twice the size is sampled by itself."""
    levels = [enlarged(volume, i) for i in range(len(volume))]
    if levels[0].shape[-2:] == flow.shape[-2:]:
        return _sampled(levels, flow, scale)
    sharp = F.grid_sample(levels[0], _grid(flow, levels[0]), padding_mode="border", align_corners=False)
    if len(levels) == 1:
        return sharp
    return torch.lerp(sharp, _sampled(levels[1:], flow, scale - 1), scale.clamp(0, 1))


def _sampled(levels: list[Tensor], flow: Tensor, scale: Tensor) -> Tensor:
    depth = len(levels)
    z = (2 * scale.clamp(0, depth - 1) + 1) / depth - 1
    grid = torch.cat((_grid(flow), z.permute(0, 2, 3, 1)), dim=-1)[:, None]
    space = torch.stack(levels, dim=2)
    return F.grid_sample(space, grid, padding_mode="border", align_corners=False)[:, :, 0]


def _add_some(out: Tensor, level: Tensor, grid: Tensor, scale: Tensor, i: int) -> None:
    """Add to ``out`` [1, C, H, W] what ``level`` ``i`` gives, where it gives something."""
    where = ((scale > i - 1) & (scale < i + 1)).flatten().nonzero()[:, 0]
    sample = F.grid_sample(level, grid.view(1, 1, -1, 2)[:, :, where], padding_mode="border", align_corners=False)
    weight = 1 - (scale.flatten()[where] - i).abs()
    out.view(out.shape[1], -1).index_add_(1, where, sample[0, :, 0] * weight)
