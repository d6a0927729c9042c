"""``pvc info``: what a stream or a clip says of itself."""

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from pvc.commands.files import reading
from pvc.entropy.condition import code_to_beta
from pvc.entropy.container import MAGIC, read_varint
from pvc.entropy.reader import Concealment, StreamReader
from pvc.video import probe
from pvc.video.pipe import is_pipe


def info(source: str, *, as_json: bool = False) -> None:
    """Print what a ``.pvc`` stream (``-``: of a pipe) holds and whether it is whole, or what a clip says of itself."""
    if _is_stream(source):
        with reading(source) as file:
            found = {"file": source, **_summary(StreamReader(file, max_pixels=2**32))}
    else:
        found = {"file": source, **asdict(probe(source))}
    if as_json:
        print(json.dumps(found, default=str))
    else:
        width = max(map(len, found))
        for key, value in found.items():
            if value not in (None, ""):
                print(f"{key:<{width}}  {_shown(value)}")


def _is_stream(source: str) -> bool:
    path = Path(source)
    if is_pipe(source) or path.suffix.lower() == ".pvc":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def _summary(stream: StreamReader) -> dict[str, Any]:
    """Header, groups of pictures and bits of all that can be read; nothing is decoded."""
    note, sizes, keys, codes, base, neural = Concealment(), _Range(), _Range(), _Range(), 0, 0
    gops, last_key, reached = _Range(), None, 0
    for frame in stream.frames(conceal=note):
        if frame.data is None:
            last_key = None  # a key frame may be among those that are missing
            continue
        reached = frame.number + 1
        below = _base_bytes(frame.data) if frame.key and stream.header.base else 0
        (keys if frame.key else sizes).add(8 * (len(frame.data) - below))
        base, neural = base + 8 * below, neural + 8 * (len(frame.data) - below)
        codes.add(frame.beta_code)
        if frame.key:
            if last_key is not None:
                gops.add(frame.number - last_key)
            last_key = frame.number
    whole = keys.count + sizes.count
    if last_key is not None and reached == stream.count:
        gops.add(reached - last_key)
    fps = Fraction(stream.header.fps)
    return {
        "bytes": stream.position,
        **asdict(stream.header),
        "frames": stream.count,
        "whole": note.reason is None,
        "damage": note.reason,
        "frames_whole": whole,
        "key_frames": keys.count,
        "gop_shortest": gops.least,
        "gop_longest": gops.most,
        "seconds": None if stream.count is None else float(stream.count / fps),
        "kbps": float(8 * stream.position * fps / reached / 1000) if whole else None,
        "key_frame_bits": keys.mean,
        "other_frame_bits": sizes.mean,
        "largest_frame_bits": max(keys.most or 0, sizes.most or 0) if whole else None,
        **({"qp_least": codes.least, "qp_most": codes.most} if stream.header.base else _betas(codes)),
        **({"base_layer_bits": base, "neural_bits": neural} if stream.header.base else {}),
    }


def _betas(codes: "_Range") -> dict[str, float | None]:
    least, most = (None if code is None else code_to_beta(code) for code in (codes.least, codes.most))
    return {"beta_least": least, "beta_most": most}


def _base_bytes(data: bytes) -> int:
    """Length of the base layer's part of a key frame's data, 0 where it is damaged."""
    try:
        length, at = read_varint(data, 0)
    except (IndexError, ValueError):
        return 0
    return at + length if at + length <= len(data) else 0


class _Range:
    """Number, least, most and mean of the values that were added."""

    def __init__(self) -> None:
        self.count, self._sum = 0, 0
        self.least: int | None = None
        self.most: int | None = None

    def add(self, value: int) -> None:
        """One more value."""
        self.least = value if self.least is None else min(self.least, value)
        self.most = value if self.most is None else max(self.most, value)
        self.count, self._sum = self.count + 1, self._sum + value

    @property
    def mean(self) -> float | None:
        """None where there is no value."""
        return self._sum / self.count if self.count else None


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
