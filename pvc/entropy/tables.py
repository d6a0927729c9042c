"""The coder's integer tables in the order in which the coder searches them."""

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from pvc.errors import CheckpointError

if TYPE_CHECKING:
    from compressai.entropy_models import EntropyModel

BITS = 16  # probabilities are multiples of 2^-16, as in CompressAI's tables


class Tables:
    """Rows of cumulative frequencies, as in a checkpoint, prepared for :mod:`pvc.entropy.rans`.

    Nothing is computed anew: each row's symbols are only put in order of falling frequency (ties: smaller symbol
    first), so that the most frequent one, mostly 0, is the first to be looked for and starts at 0. The last entry of a
    row is the escape, for symbols that the row does not have. Every row has 0.

    Args:
        cumulative: int [R, L], rising from 0 to 2^16 in each row. lengths: int [R], how many entries of a row count.
        offsets: int [R], the symbol of each row's first entry.

    Attributes:
        encoder: int32 arrays: for each row, where it begins in the others, its number of entries, its first symbol;
            for each entry, in order of symbols, start and frequency.
        decoder: for each row, where it begins and its first symbol; for each entry, in order of frequency, cumulative
            frequency and symbol; for each row the place of the escape, and [R, 256] where the search begins, by the
            top bits of what is looked for.

    Raises:
        CheckpointError: these are no tables of cumulative frequencies.
    """

    def __init__(self, cumulative: np.ndarray, lengths: np.ndarray, offsets: np.ndarray):
        _check(cumulative, lengths, offsets)
        self.rows = len(cumulative)
        base = np.concatenate(([0], np.cumsum(lengths[:-1])))
        size = int(lengths.sum())
        start, frequency, ordered, value = np.zeros((4, size), np.int32)
        escape, first = np.zeros(self.rows, np.int32), np.zeros((self.rows, 256), np.uint16)
        for row, (b, n) in enumerate(zip(base, lengths - 1)):
            frequencies = np.diff(cumulative[row, : n + 1])
            order = np.argsort(-frequencies, kind="stable")
            ends = np.concatenate(([0], np.cumsum(frequencies[order])))
            start[b + order], frequency[b : b + n] = ends[:-1], frequencies
            ordered[b : b + n + 1], value[b : b + n] = ends, order + offsets[row]
            escape[row] = np.argmax(order == n - 1)
            first[row] = np.searchsorted(ends, np.arange(256) << (BITS - 8), side="right") - 1
        base, count = base.astype(np.int32), (lengths - 1).astype(np.int32)
        self.encoder = (base, count, offsets.astype(np.int32), start, frequency)
        self.decoder = (base, offsets.astype(np.int32), ordered, value, escape, first)


def _check(cumulative: np.ndarray, lengths: np.ndarray, offsets: np.ndarray) -> None:
    sound = cumulative.ndim == 2 and lengths.shape == offsets.shape == cumulative.shape[:1] and len(lengths) > 0
    sound = sound and lengths.max() <= cumulative.shape[1] and (offsets <= 0).all() and (offsets + lengths > 2).all()
    if not sound or not all(
        row[0] == 0 and row[n - 1] == 1 << BITS and (np.diff(row[:n]) > 0).all() for row, n in zip(cumulative, lengths)
    ):
        raise CheckpointError(
            "the coder's tables are missing or damaged; call update() after training, or load another file"
        )


_KNOWN: WeakKeyDictionary["EntropyModel", tuple] = WeakKeyDictionary()


def tables_of(model: "EntropyModel") -> Tables:
    """The tables in the buffers of ``model``, prepared once for each state of them."""
    stored = (model._quantized_cdf, model._cdf_length, model._offset)
    state = [(tensor, None if tensor.is_inference() else tensor._version) for tensor in stored]
    known = _KNOWN.get(model)
    if known is None or any(a is not b or v != w for (a, v), (b, w) in zip(known[0], state)):
        known = state, Tables(*(tensor.detach().cpu().numpy().astype(np.int64) for tensor in stored))
        _KNOWN[model] = known
    return known[1]
