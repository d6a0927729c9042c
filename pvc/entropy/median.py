"""The loop of :func:`pvc.entropy.spatial.restore`, compiled: each symbol needs those before it."""

from pvc.entropy.rans import compiled

_LIMIT = 2**15 - 1  # beyond it only damaged streams go


@compiled("void(i4[:, :, ::1], i4[:, ::1])")
def restore(values, factor):
    """Turn differences [C, h, w] into symbols, in place; ``factor`` [h, w] is what they are multiples of."""
    channels, height, width = values.shape
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                left = values[c, i, j - 1] if j else 0
                above = values[c, i - 1, j] if i else 0
                corner = values[c, i - 1, j - 1] if i and j else 0
                told = min(max(left + above - corner, min(left, above)), max(left, above))
                f = factor[i, j]
                rounded = (2 * abs(told) + f) // (2 * f) * f
                value = values[c, i, j] + (rounded if told > 0 else -rounded)
                values[c, i, j] = min(max(value, -_LIMIT), _LIMIT)
