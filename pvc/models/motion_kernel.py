"""The search of :mod:`pvc.models.motion_blocks` as one kernel of Triton for each quarter of all blocks.

What PyTorch's operations write to memory and read again for every motion that is tried stays in registers here, and the
host starts 4 kernels a round instead of 600.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

# Pixels on a side that a block's motion moves, and threads that look at them, 4 at a time.
WARPS = {16: 2, 32: 4, 64: 8, 128: 16}
# Numbers for whose multiples of 16 no kernel of their own is compiled.
_SIZES = ["times", "lines", "columns", "levels", "magnitudes", "kinds", "first_line", "first_column", "radius"]


@triton.jit
def _symbol(plane, i, j, lines, columns):
    """Symbols; 0 outside of the picture."""
    inside = (i >= 0) & (i < lines) & (j >= 0) & (j < columns)
    return tl.load(plane + i * columns + j, mask=inside, other=0)


@triton.jit
def _told(left, above, corner, factor):
    """What its neighbours tell of a symbol (:func:`pvc.entropy.spatial.median`)."""
    told = tl.minimum(tl.maximum(left + above - corner, tl.minimum(left, above)), tl.maximum(left, above))
    size = (2 * tl.abs(told) + factor) // (2 * factor) * factor
    return tl.where(told < 0, -size, size)


@triton.jit
def _multiple(x, factor):
    """The next multiple of ``factor`` that is not above ``x``, however division rounds below zero."""
    rest = x - x // factor * factor
    return x - tl.where(rest < 0, rest + factor, rest)


@triton.jit
def _pixels(start, top, left, height, width, REACH: tl.constexpr, TILE: tl.constexpr):
    """Some pixels that a block's motion moves: their places in its functions and in the picture, and whether inside."""
    place = start + tl.arange(0, TILE)
    v, u = top + place // REACH, left + place % REACH
    inside = (place < REACH * REACH) & (v >= 0) & (v < height) & (u >= 0) & (u < width)
    return place, v, u, inside


@triton.jit
def _moved(functions, place, dx, dy, inside, REACH: tl.constexpr):
    """How far symbols higher by (dx, dy) move pixels, x and y."""
    area: tl.constexpr = REACH * REACH
    x = dx * tl.load(functions + place, mask=inside, other=0.0)
    x += dy * tl.load(functions + 2 * area + place, mask=inside, other=0.0)
    y = dx * tl.load(functions + area + place, mask=inside, other=0.0)
    y += dy * tl.load(functions + 3 * area + place, mask=inside, other=0.0)
    return x, y


@triton.jit
def _error(
    target,
    reference,
    weight,
    flow,
    functions,
    top,
    left,
    dx,
    dy,
    height,
    width,
    times,
    REACH: tl.constexpr,
    TILE: tl.constexpr,
):
    """Squared error of the pixels that a block's motion moves, were its symbols higher by (dx, dy)."""
    total = tl.zeros([TILE], tl.float32)
    size = times * width
    for start in range(0, REACH * REACH, TILE):
        place, v, u, inside = _pixels(start, top, left, height, width, REACH, TILE)
        at = v * width + u
        x, y = _moved(functions, place, dx, dy, inside, REACH)
        x += u + tl.load(flow + at, mask=inside, other=0.0)
        y += v + tl.load(flow + height * width + at, mask=inside, other=0.0)
        # what is no number goes to 0 as well, so that nothing outside is read
        x = times * tl.where(x > 0, tl.minimum(x, width - 1.0), 0.0)
        y = times * tl.where(y > 0, tl.minimum(y, height - 1.0), 0.0)
        j, i = tl.minimum(x.to(tl.int32), size - 2), tl.minimum(y.to(tl.int32), times * height - 2)
        x, y = x - j, y - i
        corner = reference + i * size + j
        a = tl.load(corner, mask=inside, other=0.0)
        b = tl.load(corner + size, mask=inside, other=0.0)
        a += x * (tl.load(corner + 1, mask=inside, other=0.0) - a)
        b += x * (tl.load(corner + size + 1, mask=inside, other=0.0) - b)
        error = tl.load(target + at, mask=inside, other=0.0) - (a + y * (b - a))
        total += tl.load(weight + at, mask=inside, other=0.0) * error * error
    return tl.sum(total, axis=0)


@triton.jit(do_not_specialize=_SIZES)
def improve(
    target,
    reference,
    weight,
    flow,
    symbols,
    factors,
    others,
    rows,
    prices,
    functions,
    height,
    width,
    times,
    lines,
    columns,
    levels,
    magnitudes,
    kinds,
    first_line,
    first_column,
    radius,
    REACH: tl.constexpr,
    TILE: tl.constexpr,
):
    """A block of every second row and column from the first ones on tries ``radius`` steps in each direction.

    One program a block, which tries the motions of :mod:`pvc.models.motion_loop` one after the other, and none in place
    of that of a neighbour outside of the picture. Of what is pointed to, ``flow`` and ``symbols`` change in place;
    ``times`` is t, ``levels`` are rows of prices, ``kinds`` the motions in ``others``.
    """
    across, down = (columns - first_column + 1) // 2, (lines - first_line + 1) // 2
    block, area = tl.program_id(0), lines * columns
    clip = (block // (across * down)).to(tl.int64)  # for what lies far apart in memory
    i, j = first_line + 2 * (block // across % down), first_column + 2 * (block % across)
    target += clip * height * width
    weight += clip * height * width
    flow += clip * 2 * height * width
    reference += clip * times * times * height * width
    symbols += clip * 2 * area
    factors += clip * area
    others += clip * 2 * kinds * area
    rows += clip * 2 * area
    prices += clip * levels * magnitudes
    line = tl.where(i == 0, 0, tl.where(i == lines - 1, 2, 1))
    column = tl.where(j == 0, 0, tl.where(j == columns - 1, 2, 1))
    functions += ((clip * 3 + line) * 3 + column) * 4 * REACH * REACH
    top, left = i * (REACH // 2) - REACH // 4, j * (REACH // 2) - REACH // 4
    # Symbols in whose price the block has a part, those of x and then those of y: its own, right, below, and both.
    lane = tl.arange(0, 8)
    number, plane = lane % 4, symbols + lane // 4 * area
    a, b = i + number // 2, j + number % 2
    own, left_of = _symbol(plane, a, b, lines, columns), _symbol(plane, a, b - 1, lines, columns)
    above, corner = _symbol(plane, a - 1, b, lines, columns), _symbol(plane, a - 1, b - 1, lines, columns)
    priced = (a < lines) & (b < columns)
    factor_of = tl.maximum(tl.load(factors + a * columns + b, mask=priced, other=1), 1)
    row = tl.load(rows + lane // 4 * area + a * columns + b, mask=priced, other=0)
    row = tl.maximum(tl.minimum(row, levels - 1), 0)  # also where there was no number
    told = _told(left_of, above, corner, factor_of)
    at, symbols_y = i * columns + j, symbols + area
    factor, x0, y0 = tl.maximum(tl.load(factors + at), 1), tl.load(symbols + at), tl.load(symbols_y + at)
    best_x, best_y, least = x0, y0, tl.full((), 1e30, tl.float32)
    for c in range(0, 10 + kinds):
        x, y = best_x, best_y
        if c == 1:
            x, y = tl.sum(tl.where(lane == 0, told, 0)), tl.sum(tl.where(lane == 4, told, 0))
        side = (c - 2) % 4  # left, above, right, below: of the block, or a step away from the best
        right, below = tl.where(side % 2 == 0, side - 1, 0), tl.where(side % 2 == 1, side - 2, 0)
        if (c >= 2) & (c < 6):
            x = _multiple(_symbol(symbols, i + below, j + right, lines, columns), factor)
            y = _multiple(_symbol(symbols_y, i + below, j + right, lines, columns), factor)
        if (c >= 6) & (c < 10):
            x, y = x + right * radius * factor, y + below * radius * factor
        if c >= 10:
            x = tl.load(others + 2 * (c - 10) * area + at)
            y = tl.load(others + (2 * (c - 10) + 1) * area + at)
        if (c == 0) | (((x != x0) | (y != y0)) & ((x != best_x) | (y != best_y))):
            value = tl.where(lane < 4, x, y)
            beside = tl.where(number == 1, value, left_of), tl.where(number == 2, value, above)
            told_so = _told(beside[0], beside[1], tl.where(number == 3, value, corner), factor_of)
            magnitude = tl.abs(tl.where(number == 0, value, own) - told_so) // factor_of
            magnitude = tl.maximum(tl.minimum(magnitude, magnitudes - 1), 0)
            cost = tl.sum(tl.load(prices + row * magnitudes + magnitude, mask=priced, other=0.0))
            if cost < least:
                dx, dy = (x - x0).to(tl.float32), (y - y0).to(tl.float32)
                cost += _error(
                    target, reference, weight, flow, functions, top, left, dx, dy, height, width, times, REACH, TILE
                )
            if cost < least:
                best_x, best_y, least = x, y, cost
    if (best_x != x0) | (best_y != y0):
        tl.store(symbols + at, best_x)
        tl.store(symbols_y + at, best_y)
        dx, dy = (best_x - x0).to(tl.float32), (best_y - y0).to(tl.float32)
        for start in range(0, REACH * REACH, TILE):
            place, v, u, inside = _pixels(start, top, left, height, width, REACH, TILE)
            x, y = _moved(functions, place, dx, dy, inside, REACH)
            flow_x = flow + v * width + u
            flow_y = flow_x + height * width
            tl.store(flow_x, tl.load(flow_x, mask=inside, other=0.0) + x, mask=inside)
            tl.store(flow_y, tl.load(flow_y, mask=inside, other=0.0) + y, mask=inside)


def check() -> None:
    """Raise an error if Triton finds no GPU, or cannot compile for it."""
    triton.runtime.driver.active.get_current_target()
    with torch.device("cuda"):
        pixels = {k: torch.zeros(1, 1, 16, 16) for k in ("target", "reference", "weight")}
        blocks = {"symbols": torch.zeros(1, 2, 2, 2), "factor": torch.ones(1, 1, 2, 2), "rows": torch.zeros(1, 2, 2, 2)}
        more = {"flow": torch.zeros(1, 2, 16, 16), "others": torch.zeros(1, 2, 2, 2), "prices": torch.zeros(1, 1, 2)}
        refine((1,), **pixels, **blocks, **more, functions=torch.zeros(1, 3, 3, 2, 2, 16, 16))


def refine(radii: tuple[int, ...], **problem: Tensor) -> Tensor:
    """Better symbols int32 [N, 2, h, w] for the arguments of :class:`pvc.models.motion_blocks.Blocks`.

    Those that have blocks of 8, 16, 32 or 64 pixels. No result is waited for. What is not finite is not told apart:
    nothing outside of memory is read, and what comes out means nothing.
    """
    pixels = [problem[k].contiguous() for k in ("target", "reference", "weight")]
    told = [problem[k].to(torch.int32).contiguous() for k in ("factor", "others", "rows")]
    prices, functions = (problem[k].contiguous() for k in ("prices", "functions"))
    flow = problem["flow"].clone(memory_format=torch.contiguous_format)
    symbols = problem["symbols"].to(torch.int32, copy=True, memory_format=torch.contiguous_format)
    (clips, _, height, width), (lines, columns) = pixels[0].shape, symbols.shape[-2:]
    reach, times = functions.shape[-1], pixels[1].shape[-1] // width
    sizes = height, width, times, lines, columns, *prices.shape[1:], problem["others"].shape[1] // 2
    for radius in radii:
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            blocks = clips * ((lines - i + 1) // 2) * ((columns - j + 1) // 2)
            with torch.cuda.device_of(symbols):
                improve[(blocks,)](
                    *pixels,
                    flow,
                    symbols,
                    *told,
                    prices,
                    functions,
                    *sizes,
                    i,
                    j,
                    radius,
                    REACH=reach,
                    TILE=128 * WARPS[reach],
                    num_warps=WARPS[reach],
                    enable_fp_fusion=True,
                )
    return symbols
