"""The loop of :func:`pvc.entropy.spatial.restore`, compiled: each symbol needs those before it."""

from numba import njit

from pvc.entropy.rans import compiled

_LIMIT = 2**15 - 1  # beyond it only damaged streams go


@njit(inline="always", error_model="numpy")
def predicted(plane, i, j, factor):
    """What the neighbours of (i, j) in ``plane`` [h, w] tell, a multiple of ``factor``; zeros outside."""
    left = plane[i, j - 1] if j else 0
    above = plane[i - 1, j] if i else 0
    corner = plane[i - 1, j - 1] if i and j else 0
    told = min(max(left + above - corner, min(left, above)), max(left, above))
    rounded = (2 * abs(told) + factor) // (2 * factor) * factor
    return rounded if told > 0 else -rounded


@compiled("void(i4[:, :, ::1], i4[:, ::1])")
def restore(values, factor):
    """Turn differences [C, h, w] into symbols, in place; ``factor`` [h, w] is what they are multiples of."""
    channels, height, width = values.shape
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                value = values[c, i, j] + predicted(values[c], i, j, factor[i, j])
                values[c, i, j] = min(max(value, -_LIMIT), _LIMIT)
