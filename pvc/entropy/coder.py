"""One range-coded stream for all symbols of a frame, by CompressAI's rANS."""

import torch
from compressai.ans import BufferedRansEncoder, RansDecoder
from compressai.entropy_models import EntropyModel
from torch import Tensor


def _tables(model: EntropyModel) -> tuple[list, list, list]:
    return model.quantized_cdf.tolist(), model.cdf_length.tolist(), model.offset.tolist()


class Writer:
    """Collects symbols with their tables, then writes them as one stream."""

    def __init__(self):
        self._encoder = BufferedRansEncoder()

    def put(self, symbols: Tensor, indexes: Tensor, model: EntropyModel) -> None:
        """Append ``symbols`` (int32) coded with the table rows ``indexes`` (int32, same shape) of ``model``."""
        self._encoder.encode_with_indexes(symbols.flatten().tolist(), indexes.flatten().tolist(), *_tables(model))

    def finish(self) -> bytes:
        """The stream."""
        return self._encoder.flush()


class Reader:
    """Reads symbols in the order in which :class:`Writer` was given them."""

    def __init__(self, data: bytes):
        self._decoder = RansDecoder()
        self._decoder.set_stream(data)

    def get(self, indexes: Tensor, model: EntropyModel) -> Tensor:
        """Next symbols, int32 on the CPU, in the shape of ``indexes``."""
        symbols = self._decoder.decode_stream(indexes.flatten().tolist(), *_tables(model))
        return torch.tensor(symbols, dtype=torch.int32).view(indexes.shape)
