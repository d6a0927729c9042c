"""The loop of :class:`pvc.models.motion_search.MotionSearch`, compiled: a block's best motion hangs on the others'."""

from numba import float32, int64, njit, uint64

from pvc.entropy.median import predicted
from pvc.entropy.rans import compiled

_INLINE = {"inline": "always", "error_model": "numpy"}


@njit(error_model="numpy", fastmath=True)
def _error(target, reference, weight, flow, functions, v, u, f, g, count, dx, dy):
    """Squared error of ``count`` pixels from (v, u) on, once the block's symbols are moved by (dx, dy).

    Its functions begin at (f, g). Bilinear in the reference, whatever its size, the border repeated. Unsigned indices
    and numbers of one kind, of which the compiler makes vectors.
    """
    height, width = reference.shape
    times = float32(width // target.shape[1])
    right, low = float32(target.shape[1] - 1), float32(target.shape[0] - 1)
    out = float32(0)
    for k in range(count):
        p, b = uint64(u + k), uint64(g + k)
        px = float32(u + k) + flow[0, v, p] + dx * functions[0, 0, f, b] + dy * functions[1, 0, f, b]
        py = float32(int64(v)) + flow[1, v, p] + dx * functions[0, 1, f, b] + dy * functions[1, 1, f, b]
        px, py = times * min(max(px, float32(0)), right), times * min(max(py, float32(0)), low)
        j, i = min(int64(px), width - 2), min(int64(py), height - 2)
        x, y = px - float32(j), py - float32(i)
        i, j = uint64(i), uint64(j)
        a0, a1 = reference[i, j], reference[i, j + uint64(1)]
        b0, b1 = reference[i + uint64(1), j], reference[i + uint64(1), j + uint64(1)]
        top = a0 + x * (a1 - a0)
        e = target[v, p] - (top + y * (b0 + x * (b1 - b0) - top))
        out += weight[v, p] * e * e
    return out


@njit(**_INLINE)
def _price(plane, i, j, factor, rows, prices):
    """Of the symbol at (i, j), as its neighbours are."""
    if i >= plane.shape[0] or j >= plane.shape[1]:
        return float32(0)
    magnitude = abs(plane[i, j] - predicted(plane, i, j, factor[i, j])) // factor[i, j]
    return prices[rows[i, j], min(magnitude, prices.shape[1] - 1)]


@njit(**_INLINE)
def _bits(plane, i, j, value, factor, rows, prices):
    """Of all symbols in whose price (i, j) has a part, were it ``value``."""
    kept = plane[i, j]
    plane[i, j] = value
    cost = _price(plane, i, j, factor, rows, prices) + _price(plane, i, j + 1, factor, rows, prices)
    cost += _price(plane, i + 1, j, factor, rows, prices) + _price(plane, i + 1, j + 1, factor, rows, prices)
    plane[i, j] = kept
    return cost


@njit(**_INLINE)
def _place(i, count):
    return 0 if i == 0 else 2 if i == count - 1 else 1


_AROUND = ((0, -1), (-1, 0), (0, 1), (1, 0))


@compiled(
    "void(f4[:, ::1], f4[:, ::1], f4[:, ::1], f4[:, :, ::1], f4[:, :, :, :, :, ::1], i4[:, :, ::1], i4[:, :, :, ::1], "
    "i4[:, ::1], i4[:, :, ::1], f4[:, ::1], "
    "i4[:, ::1], i8, i8, b1, i8, i8, i8)"
)
def refine(
    target,
    reference,
    weight,
    flow,
    functions,
    symbols,
    others,
    factor,
    rows,
    prices,
    changed,
    number,
    radius,
    again,
    edge,
    first,
    last,
):
    """Lower J of ``symbols`` [2, h, w], in place, by one round over some of them.

    Args:
        target: [H, W]. reference: [t H, t W], its pixels at places that t divides. weight: of a squared error [H, W].
        flow: that of ``symbols`` [2, H, W], x first, in pixels; kept as they are.
        functions: what a unit of a symbol adds to the flow around its block of b x b, [3, 3, 2, 2, 2 b, 2 b]: in the
            first, a middle and the last row and column; of x and of y to x and to y.
        others: motion to try besides [n, 2, h, w].
        factor: what symbols are multiples of [h, w].
        rows, prices: [2, h, w] and [rows, magnitudes], as in :func:`pvc.models.rdoq.refine`.
        changed: the round in which each block changed last [h, w], 0 before the first; kept.
        number: that of this round. radius: steps that are tried in each direction.
        again: leave out blocks around which nothing changed since they were looked at.
        edge: pixels around ``functions`` that are zero in all of them.
        first, last: rows of blocks that may change; what they read and write ends a row above and below.
    """
    height, width = target.shape
    lines, columns = factor.shape
    reach = functions.shape[-1]
    for i in range(first, last):
        for j in range(columns):
            calm = number > 1 and changed[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].max() < number - 1
            if again and calm:
                continue
            top, left = reach // 2 * i - reach // 4, reach // 2 * j - reach // 4
            v0, u0 = max(top + edge, 0), max(left + edge, 0)
            v1, u1 = min(top + reach - edge, height), min(left + reach - edge, width)
            f, leap = factor[i, j], radius * factor[i, j]
            own = functions[_place(i, lines), _place(j, columns)]
            x0, y0 = symbols[0, i, j], symbols[1, i, j]
            best_x, best_y, least = x0, y0, float32(1e30)
            for c in range(10 + len(others)):
                if calm and (1 <= c < 6 or c >= 10):  # has been tried, and nothing around has changed
                    continue
                x, y = best_x, best_y
                if c == 1:
                    x, y = predicted(symbols[0], i, j, f), predicted(symbols[1], i, j, f)
                elif 2 <= c < 6:
                    a, b = i + _AROUND[c - 2][0], j + _AROUND[c - 2][1]
                    if a < 0 or b < 0 or a >= lines or b >= columns:
                        continue
                    x, y = symbols[0, a, b] // f * f, symbols[1, a, b] // f * f
                elif 6 <= c < 10:
                    y, x = y + _AROUND[c - 6][0] * leap, x + _AROUND[c - 6][1] * leap
                elif c >= 10:
                    x, y = others[c - 10, 0, i, j], others[c - 10, 1, i, j]
                if c > 0 and ((x == x0 and y == y0) or (x == best_x and y == best_y)):
                    continue
                cost = _bits(symbols[0], i, j, x, factor, rows[0], prices)
                cost += _bits(symbols[1], i, j, y, factor, rows[1], prices)
                dx, dy = float32(x - x0), float32(y - y0)
                for v in range(v0, v1):
                    if cost >= least:
                        break
                    cost += _error(
                        target,
                        reference,
                        weight,
                        flow,
                        own,
                        uint64(v),
                        u0,
                        uint64(v - top),
                        u0 - left,
                        u1 - u0,
                        dx,
                        dy,
                    )
                if cost < least:
                    best_x, best_y, least = x, y, cost
            if best_x == x0 and best_y == y0:
                continue
            symbols[0, i, j], symbols[1, i, j] = best_x, best_y
            changed[i, j] = number
            dx, dy = float32(best_x - x0), float32(best_y - y0)
            for v in range(v0, v1):
                for u in range(u0, u1):
                    a, b = v - top, u - left
                    flow[0, v, u] += dx * own[0, 0, a, b] + dy * own[1, 0, a, b]
                    flow[1, v, u] += dx * own[0, 1, a, b] + dy * own[1, 1, a, b]
