"""What the page sends: a participant's name, stroke logs, packed maps."""

import zlib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pvc.errors import ImportanceError

_Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_Time = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]  # ms
MOST_STROKES = 20_000
"""Items in a session's log."""
STROKES_BODY = 16 << 20
"""Bytes of a request with strokes: some minutes of a pen that tells its place a thousand times a second."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Join(_Strict):
    """``worker``: what the platform that recruits calls somebody; nothing that a spreadsheet would compute."""

    worker: str | None = Field(default=None, min_length=1, max_length=128, pattern=r"^\w[\w.:@+=-]*$")


class StrokeItem(_Strict):
    """A stroke; lengths in cells of the map. Points are ``[x, y, t_ms]``, with a pen's pressure as fourth."""

    kind: Literal["stroke"]
    tool: Literal["brush", "eraser"]
    frame: int = Field(ge=0, le=1_000_000)
    radius: float = Field(ge=0.5, le=1000)
    strength: float = Field(gt=0, le=255)
    points: list[Annotated[list[_Number], Field(min_length=3, max_length=4)]] = Field(min_length=1, max_length=200_000)
    t_ms: _Time


class ActItem(_Strict):
    """What undoes, does again, or takes away all strokes."""

    kind: Literal["undo", "redo", "clear"]
    t_ms: _Time


class Strokes(_Strict):
    """A part of the log: ``items``, the first of which is number ``first`` (from 1)."""

    first: int = Field(ge=1, le=MOST_STROKES)
    items: list[Annotated[StrokeItem | ActItem, Field(discriminator="kind")]] = Field(max_length=1000)


def unpack(body: bytes, size: int) -> bytes:
    """What a gzip ``body`` holds, which must be exactly ``size`` bytes; no more than that is ever unpacked.

    Raises:
        ImportanceError: it is no gzip, is cut off, or holds more or less.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        data = unpacker.decompress(body, size + 1)
    except zlib.error as error:
        raise ImportanceError(f"the map is no gzip ({error})") from None
    if len(data) != size or not unpacker.eof or unpacker.unused_data:
        raise ImportanceError(
            f"the map does not hold exactly {size} bytes; send one a cell, frame after frame, in gzip"
        )
    return data
