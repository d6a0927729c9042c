"""Range ANS over arrays, compiled: the loops over symbols (``docs/format.md``, "Symbols of a frame").

Source: Duda, "Asymmetric numeral systems", arXiv 1311.2540, 2013, section 3. One state x below 2^48, probabilities in
units of 2^-16, renormalised by words of 16 bits once it has reached 2^32. The encoder starts from x = 0 and gives no
word away before x has grown, so that a stream has hardly any fixed cost, and the decoder must end at 0 again.

Importing this module compiles the loops, or loads them from numba's cache: in ``$NUMBA_CACHE_DIR``, beside this file,
or in the user's cache folder. :mod:`pvc.entropy.coder` imports it when the first symbol is coded.
"""

from collections.abc import Callable

import numba
from numba import int64, uint64

LOW = 1 << 32  # below it, the decoder takes another word
_STREAM = "UniTuple(i8, 2)(i8, i8, u2[::1], i2[::1], i2[::1]"  # (x, position) from x, position, words, symbols, rows


def compiled(signature: str) -> Callable:
    """Compile for these types, to run without the GIL; where the cache cannot be used, for this process only."""

    def decorate(function: Callable) -> Callable:
        options = {"nogil": True, "error_model": "numpy"}  # no check for division by zero: no table has a zero
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except Exception:  # no folder to write to, a full disk, damaged files; any other error comes again
            return numba.njit(signature, **options)(function)

    return decorate


@compiled(f"{_STREAM}, i4[::1], i4[::1], i4[::1], i4[::1], i4[::1])")
def encode(x, position, words, symbols, rows, base, count, offset, start, frequency):
    """Put ``symbols`` in front of what state ``x`` and ``words[position:]`` hold; ``words`` fills from its end.

    ``rows`` is the table of each symbol, negative where it is not coded; for the other arguments see
    :class:`pvc.entropy.tables.Tables`. Returns the new state and position.
    """
    for i in range(len(symbols) - 1, -1, -1):
        row = rows[i]
        if row < 0:
            continue
        symbol = int64(symbols[i])
        escape = int64(count[row]) - 1
        k = symbol - offset[row]
        if k < 0 or k >= escape:  # beyond the table: the entry that says so, and plain bits behind it
            beyond = 2 * (k - escape) + 1 if k >= 0 else -2 * k  # 1, 3, 5 ... above the table, 2, 4, 6 ... below
            bits = int64(0)
            while beyond >> (bits + 1):
                bits += 1
            if x >= 1 << (48 - bits):
                position -= 1
                words[position] = x & 0xFFFF
                x >>= 16
            x = (x << bits) | (beyond - (1 << bits))
            if x >= 1 << 44:
                position -= 1
                words[position] = x & 0xFFFF
                x >>= 16
            x = (x << 4) | bits
            k = escape
        j = base[row] + k
        f = int64(frequency[j])
        if x >= f << 32:
            position -= 1
            words[position] = x & 0xFFFF
            x >>= 16
        quotient = int64(uint64(x) // uint64(f))  # unsigned: without the sign handling of Python's //
        x = (quotient << 16) + start[j] + (x - quotient * f)
    return x, position


@compiled(f"{_STREAM}, i4[::1], i4[::1], i4[::1], i4[::1], i4[::1], u2[:, ::1])")
def decode(x, position, words, out, rows, base, offset, cumulative, value, escape, first):
    """Fill ``out`` with the next symbols, 0 where ``rows`` is negative; the inverse of :func:`encode`.

    Reads what there is: any state and words give some symbols, in a time that the length of ``rows`` bounds.
    """
    for i in range(len(rows)):
        row = rows[i]
        if row < 0:
            out[i] = 0
            continue
        slot = x & 0xFFFF
        b = int64(base[row])
        rank = int64(0)
        if slot >= cumulative[b + 1]:  # not the most frequent symbol
            rank = int64(first[row, slot >> 8])
            while slot >= cumulative[b + rank + 1]:
                rank += 1
        j = b + rank
        start = int64(cumulative[j])
        x = (cumulative[j + 1] - start) * (x >> 16) + slot - start
        if x < LOW and position < len(words):
            x = (x << 16) | int64(words[position])
            position += 1
        out[i] = value[j]
        if rank == escape[row]:
            bits = x & 15
            x >>= 4
            if x < LOW and position < len(words):
                x = (x << 16) | int64(words[position])
                position += 1
            beyond = (1 << bits) | (x & ((1 << bits) - 1))
            x >>= bits
            if x < LOW and position < len(words):
                x = (x << 16) | int64(words[position])
                position += 1
            # the escape's own symbol is the first one above the table
            out[i] = value[j] + (beyond >> 1) if beyond & 1 else offset[row] - (beyond >> 1)
    return x, position
