"""One stream for all symbols of a frame (``docs/format.md``, "Symbols of a frame").

Tensors stay on their device until :meth:`Writer.finish`. Objects share nothing that changes, and the loops run without
the GIL, so frames can be coded in threads beside the network.
"""

import numpy as np
import torch
from torch import Tensor

from pvc.entropy.tables import Tables
from pvc.errors import BitstreamError


def _rows(indexes: np.ndarray, tables: Tables) -> np.ndarray:
    """``indexes``, once they are known to lie inside ``tables``: the compiled loops do not look."""
    if indexes.size and indexes.max() >= tables.rows:
        raise ValueError(f"table {indexes.max()} was asked for; there are {tables.rows}")
    return indexes


class Writer:
    """Collects symbols with their tables, then writes them as one stream."""

    def __init__(self):
        self._symbols: list[Tensor] = []
        self._indexes: list[Tensor] = []
        self._tables: list[Tables] = []

    def put(self, symbols: Tensor, indexes: Tensor, tables: Tables) -> None:
        """Append whole numbers ``symbols`` in ±32767, coded with the rows ``indexes`` (same shape) of ``tables``.

        A negative index means that the decoder knows the symbol to be 0: it is not coded, whatever it is.
        """
        self._symbols.append(symbols.reshape(-1).to(torch.int16))
        self._indexes.append(indexes.reshape(-1).to(torch.int16))
        self._tables.append(tables)

    def finish(self) -> bytes:
        """The stream. Tensors come from their device here, in one transfer."""
        from pvc.entropy import rans  # not before: it takes seconds where it has to be compiled

        if not self._symbols:
            return b""
        both = torch.stack((torch.cat(self._symbols), torch.cat(self._indexes))).cpu().numpy()
        ends = np.cumsum([len(part) for part in self._symbols])[:-1]
        parts = list(zip(np.split(both[0], ends), np.split(both[1], ends), self._tables))
        words = np.empty(3 * both.shape[1], np.uint16)  # a symbol takes at most three, when it is escaped
        x, position = 0, len(words)
        for symbols, indexes, tables in reversed(parts):  # the decoder reads backwards what was written last
            x, position = rans.encode(x, position, words, symbols, _rows(indexes, tables), *tables.encoder)
        return x.to_bytes((x.bit_length() + 7) // 8, "little") + words[position:].astype("<u2").tobytes()


class Reader:
    """Reads symbols in the order in which :class:`Writer` was given them."""

    def __init__(self, data: bytes):
        # The state has 5 or 6 bytes where words of two bytes follow, and else all bytes: its length tells itself.
        size = min(len(data), 6 - len(data) % 2)
        self._x = int.from_bytes(data[:size], "little")
        self._words = np.frombuffer(data, "<u2", offset=size).astype(np.uint16)
        self._position = 0

    def get(self, indexes: Tensor, tables: Tables) -> Tensor:
        """Next symbols, int16 on the device of ``indexes`` and in its shape; 0 where an index is negative.

        A damaged stream gives some symbols too: :meth:`finish` tells.
        """
        from pvc.entropy import rans

        rows = _rows(indexes.reshape(-1).to(torch.int16).cpu().contiguous().numpy(), tables)
        out = np.empty(len(rows), np.int16)
        self._x, self._position = rans.decode(self._x, self._position, self._words, out, rows, *tables.decoder)
        return torch.from_numpy(out).view(indexes.shape).to(indexes.device)

    def finish(self) -> None:
        """Check that the stream ends where its last symbol does.

        Raises:
            BitstreamError: it does not, so symbols that were read from it are wrong.
        """
        if self._x != 0 or self._position != len(self._words):
            raise BitstreamError("the symbols of a frame do not end where its data does; the frame is damaged")
