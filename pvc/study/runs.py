"""Encodes out of a folder that ``pvc eval`` wrote with ``keep_streams=true``."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from pvc.codecs import Codec, load_codec
from pvc.errors import ConfigError
from pvc.evaluation import frames
from pvc.evaluation.curves import curve_keys, key_of
from pvc.evaluation.records import Record, load_runs, point_label
from pvc.evaluation.sidebyside import similar_rate
from pvc.study.encodes import Encode, Encodes


def from_run(folder: Path, codecs: Sequence[str] = (), kbps: float | None = None) -> Encodes:
    """Encodes of every sequence at rates as equal as the run has them.

    The last codec is taken at the point that is nearest to ``kbps`` (by ratio), or to the middle of the rates that all
    of them cover; the others at the points nearest to the rate of that one. Where the run was made at bitrates, rates
    are equal.

    Args:
        codecs: Curves by their names in the tables (``x264``, or ``x264-roi, u_alpha 0.2``), the baseline last. None
            given: all of the run, in its order.

    Raises:
        ConfigError: the run has no such curve, a sequence lacks one, or streams were not kept.
    """
    records = load_runs([folder])
    have = {key.label: key for key in curve_keys(records)}
    wanted = list(codecs) or list(have)
    if unknown := [name for name in wanted if name not in have]:
        raise ConfigError(f"{folder} has no {unknown[0]!r}; it has {'; '.join(have)}")
    loaded = _Loaded()
    found: Encodes = {}
    for dataset, sequence in dict.fromkeys((r.dataset, r.sequence) for r in records):
        own = [r for r in records if (r.dataset, r.sequence) == (dataset, sequence)]
        curves = {name: [r for r in own if key_of(r) == have[name]] for name in wanted}
        if missing := [name for name, curve in curves.items() if not curve]:
            raise ConfigError(f"{folder}: {missing[0]} was not run on {sequence}; choose others with --codecs")
        target = kbps or similar_rate([[r.kbps for r in curve] for curve in curves.values()])
        target = _nearest(curves[wanted[-1]], target).kbps
        name = sequence if sequence not in found else f"{dataset} {sequence}"
        found[name] = {codec: _encode(folder, _nearest(curve, target), loaded) for codec, curve in curves.items()}
    return found


class _Loaded:
    """The codec that was used last, loaded: of two learned ones, both might not fit."""

    def __init__(self) -> None:
        self._codec: Codec | None = None

    def get(self, record: Record) -> Codec:
        """The codec that wrote the record's stream."""
        if self._codec is None or self._codec.name != record.codec:
            self._codec = None
            self._codec = load_codec(record.codec, gop=record.meta["made_by"]["gop"])
        return self._codec


def _nearest(curve: Sequence[Record], kbps: float) -> Record:
    return min(curve, key=lambda r: abs(math.log(r.kbps / kbps)))


def _encode(folder: Path, record: Record, loaded: _Loaded) -> Encode:
    path = frames.stream(folder, record)
    if not path.is_file():
        raise ConfigError(
            f"{folder} did not keep the stream of {record.codec} on {record.sequence}; run pvc eval with the same "
            "options and keep_streams=true once more"
        )
    where = f"{record.codec} at {point_label(record.point)} on {record.sequence}"

    def read() -> Iterator[Tensor]:
        return loaded.get(record).decode_frames(path.read_bytes())

    fps = Fraction(record.fps).limit_denominator(1001)
    return Encode(where, record.width, record.height, fps, record.frames, record.kbps, read)
