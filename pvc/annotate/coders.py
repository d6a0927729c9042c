"""What people paint for: x264, x265 or a trained model, each coding one clip at its bitrate by any map."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from pvc.annotate.maps import Values, at_clip_size
from pvc.annotate.movies import pictures_of, write_playable
from pvc.codecs import Codec, load_codec
from pvc.codecs.avcodec import AvCodec
from pvc.codecs.recode import Recoder
from pvc.errors import ConfigError
from pvc.importance import ALPHA_MAX

Step = Callable[[float], None]


class Coded(NamedTuple):
    """What came of a coding.

    Attributes:
        kbps, asked: kbit/s of the stream, and those that were asked for to give it.
        stream: the file that holds the real stream.
        decoded: a file with exactly what that decodes to. Whoever has measured it calls :meth:`forget`.
    """

    kbps: float
    asked: float
    stream: Path
    decoded: Path

    def forget(self) -> None:
        """Remove ``decoded``, if it is a file of its own."""
        if self.decoded != self.stream:
            self.decoded.unlink(missing_ok=True)


class Coder(Protocol):
    """Codes one clip.

    Attributes:
        neutral: whether a map of 127 everywhere gives the bits of no map.
    """

    neutral: bool

    def code(self, out: Path, kbps: float, values: Values | None, ask: float | None, close: float, step: Step) -> Coded:
        """Write ``out``, an mp4 that a browser plays, at ``kbps`` kbit/s; beside it the stream, where that is another.

        Args:
            values: the map on its grid, or None. ask: what to ask the encoder for at first, if that is known.
            close: share by which the bitrate may miss. step: is told the share done; what it raises ends the coding.
        """
        ...


def load_coder(settings: Mapping[str, Any], source: Path, fps: Fraction, count: int) -> Coder:
    """The coder of ``settings`` (``codec`` in ``configs/annotate.yaml``) for the clip in ``source``.

    Raises:
        ConfigError: there is no such codec, it takes no maps, or it holds no bitrate.
    """
    codec = check_coder(settings)
    if isinstance(codec, AvCodec):
        return AvCoder(codec, source, fps, count, settings["threads"])
    from pvc.annotate.model_coder import ModelCoder  # only here: most workers need no model code

    return ModelCoder(codec, source, fps, count, settings["alpha"])


def check_coder(settings: Mapping[str, Any]) -> Codec:
    """The codec of ``settings``; errors as :func:`load_coder` has them."""
    codec = _codec(settings["name"], settings["gop"], settings["device"])
    holds = isinstance(codec, AvCodec) or getattr(codec, "betas", ()) is None  # a multi-rate model
    if holds and codec.supports_importance:
        return codec
    raise ConfigError(
        f"codec.name={settings['name']} cannot be painted for: it takes no map, or holds no bitrate; "
        "use x264-annotation, x265-annotation, or a multi-rate checkpoint with ROI"
    )


@lru_cache(maxsize=2)
def _codec(name: str, gop: int, device: str) -> Codec:
    return load_codec(name, gop, device)


class AvCoder:
    """x264 or x265."""

    neutral = True

    def __init__(self, codec: AvCodec, source: Path, fps: Fraction, count: int, threads: int) -> None:
        self._recoder, self._rule, self._fps = Recoder(codec, source, fps, count, threads), codec.delta_qp, fps
        self._plays = codec.encoder == "libx264"

    def code(self, out: Path, kbps: float, values: Values | None, ask: float | None, close: float, step: Step) -> Coded:
        """See :class:`Coder`."""
        size, offsets = self._recoder.size, None
        if values is not None:
            maps = (torch.from_numpy(at_clip_size(plane, size)).float()[None] / 255 for plane in values)
            offsets = [self._rule.blocks(q, ALPHA_MAX) for q in maps]
        stream = out if self._plays else out.with_suffix(".hevc.mp4")
        done = self._recoder.code(stream, kbps, offsets, ask=ask, close=close, step=step)
        if not self._plays:
            write_playable(out, pictures_of(stream), self._fps)
        return Coded(done.kbps, done.asked, stream, decoded=stream)
