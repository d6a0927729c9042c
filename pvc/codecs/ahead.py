"""What the host does for a GPU, done ahead of time: symbols of a stream's frames are read while pictures are made."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TypeVar

import torch
from torch import Tensor

from pvc.entropy.condition import code_to_beta
from pvc.entropy.container import Frame, Header
from pvc.errors import BitstreamError
from pvc.models.coding import Symbols
from pvc.models.ssf import ScaleSpaceFlow

T = TypeVar("T")
_END = object()


def read_symbols(
    model: ScaleSpaceFlow, frames: Iterable[Frame], header: Header, side: "torch.cuda.Stream | None" = None
) -> Iterator[tuple[Frame, Symbols | BitstreamError | None]]:
    """Each frame with its symbols; with the error where they are damaged; with None where there is nothing to read.

    With ``side``, a CUDA stream, the device's part is done there, and whoever uses the symbols waits for that alone.
    """
    shape = tuple(-(-n // model.multiple) * model.multiple for n in (header.height, header.width))
    before = None
    for frame in frames:
        found: Symbols | BitstreamError | None = None
        if frame.data is not None and (frame.key or before is not None):
            try:
                with nullcontext() if side is None else torch.cuda.stream(side):
                    beta = code_to_beta(frame.beta_code)
                    found = model.read_frame(frame.data, beta, shape, None if frame.key else before)
                    if side is not None:
                        hand_over((tensor for part in found.values() for tensor in part), side)
            except BitstreamError as error:
                found = error
        before = {k: parts[-1] for k, parts in found.items()} if isinstance(found, dict) else None
        yield frame, found


def hand_over(made: Iterable[Tensor], side: "torch.cuda.Stream") -> None:
    """Make what was computed in the stream ``side`` fit for use on the device's default stream."""
    for tensor in made:
        tensor.record_stream(torch.cuda.default_stream(side.device))  # else its memory could be given away too soon
    side.synchronize()  # it is this thread that waits, not the one that makes pictures


def ahead(items: Iterable[T]) -> Iterator[T]:
    """``items``, each made in a thread while the one before it is used."""
    items = iter(items)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(next, items, _END)
        while (item := waiting.result()) is not _END:
            waiting = thread.submit(next, items, _END)
            yield item
