"""CPVC as a codec: a base codec's stream and the neural stream in one file (``docs/format.md``, "Base layer")."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pvc.codecs.base import ClipCoding, Codec, Point, numbers
from pvc.codecs.base_layer import BaseLayer, base_point
from pvc.entropy.container import PRECISIONS, Frame, Header, varint
from pvc.entropy.reader import Concealment, StreamReader
from pvc.entropy.writer import StreamWriter
from pvc.errors import BitstreamError, CheckpointError, ConfigError, ImportanceError, VideoError
from pvc.models.checkpoint import fingerprint, load_model
from pvc.models.cpvc import CPVC
from pvc.paths import checkpoint_name, common_name
from pvc.video import default_matrix

log = logging.getLogger(__name__)


class CpvcCodec(ClipCoding):
    """One checkpoint, or several that differ only in their base QPs, behind the interface of every codec.

    Each group of pictures is coded by the base codec on its own; the neural stream follows from what that decodes to.
    ``point`` is ``{"qp": ...}``, the base layer's; the neural rate follows from the checkpoint.

    Args:
        checkpoints: files written by ``pvc train``. device: where the model runs.
        gop: frames from one key frame to the next, >= 1; the base codec's too.
        precision: of the encoder's transforms, ``float32`` or ``bfloat16``; streams tell the decoder.
        base: the base codec that is asked for; None: the one that the model was trained for.

    Raises:
        ConfigError: a value is out of range, or the model was trained for another base codec.
        CheckpointError: a checkpoint cannot be read, or is no CPVC.
    """

    supports_importance = False

    def __init__(
        self,
        checkpoints: Sequence[str | Path] | str | Path,
        device: str = "cpu",
        gop: int = 32,
        precision: str = "float32",
        base: str | None = None,
    ):
        from pvc.codecs.registry import load_codec  # it knows this module

        paths = [Path(p) for p in ([checkpoints] if isinstance(checkpoints, str | Path) else checkpoints)]
        if not 1 <= gop <= 65535:
            raise ConfigError(f"gop={gop} is out of range; give 1 (all I-frames) to 65535")
        if precision not in PRECISIONS:
            raise ConfigError(f"precision={precision} is not known; give {' or '.join(PRECISIONS)}")
        self.device, self.gop, self.precision = torch.device(device), gop, precision
        models = [load_model(p, device, CPVC) for p in paths]  # CPVC: another kind is refused
        self.name = checkpoint_name(paths[0]) if len(paths) == 1 else common_name(paths[0])
        prints = [fingerprint(m) for m in models]
        self._models: dict[str, CPVC] = dict(zip(prints, models))
        self._by_qp = {qp: (m, p, path) for m, p, path in zip(models, prints, paths) for qp in m.qps}
        if len(self._by_qp) < sum(len(m.qps) for m in models):
            raise ConfigError(f"{', '.join(p.stem for p in paths)}: two of these checkpoints are for one base QP")
        self.qps, trained = sorted(self._by_qp), models[0].base
        if {m.base for m in models} != {base or trained}:
            have = ", ".join(sorted({m.base for m in models}))
            raise ConfigError(
                f"{self.name} was trained over {have}, not over {base or trained}; use it with the former"
            )
        self.base: Codec = load_codec(trained, gop=gop)
        self.meta: dict[str, Any] = {"fingerprints": sorted(self._models), "base": {"name": trained, **self.base.meta}}
        if precision != "float32":
            self.meta["precision"] = precision
        self._made = paths, str(device), gop, precision, base

    def __reduce__(self) -> tuple:
        """Another process gets the names of the checkpoints, not the weights, and loads them itself."""
        return _reload, (self._made, self.name, self.meta, sorted(self._models))

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """One point for each of ``settings["qp"]`` that the model was trained for; a warning names the others.

        Raises:
            ConfigError: there is none.
        """
        asked = numbers(settings, "qp", 0, 63)
        found = [{"qp": qp} for qp in asked if qp in self._by_qp]
        if not found:
            said = ", ".join(f"{qp:g}" for qp in asked)
            have = ", ".join(map(str, self.qps))
            raise ConfigError(f"{self.name} was trained over base QP {have}, not {said}; give one of these")
        if lost := [f"{qp:g}" for qp in asked if qp not in self._by_qp]:
            log.warning("%s goes without QP %s, for which it was not trained", self.name, ", ".join(lost))
        return found

    def encode_frames(
        self,
        frames: Iterable[Tensor],
        point: Mapping[str, float],
        importance: Iterator[Tensor] | None = None,
        *,
        fps: Fraction,
        count: int | None,
        size: tuple[int, int],
        matrix: str | None = None,
        full_range: bool = False,
    ) -> Iterator[bytes]:
        """Code ``frames`` at base QP ``point["qp"]``: header, one chunk for each frame, end.

        A group of pictures is in memory at a time.

        Args:
            frames: uint8 ``[3, H, W]``, of ``size`` (H, W), ``count`` of them (None: as many as come).
            matrix, full_range: of the source, as in :class:`pvc.video.VideoInfo`; kept in the header.

        Raises:
            ConfigError: a QP that the model was not trained for, or frames too large.
            ImportanceError: a map is given.
            VideoError: the base codec refuses the frames.
        """
        if importance is not None:
            raise ImportanceError(f"codec {self.name} takes no importance map; encode with alpha = 1")
        qp = int(self.points({"qp": point.get("qp")})[0]["qp"])
        (model, made_by, path), frames = self._by_qp[qp], iter(frames)
        fps = Fraction(fps).limit_denominator(2**32 - 1)
        colour = matrix or default_matrix(size[0]), full_range
        made = checkpoint_name(path), made_by, size[1], size[0], str(fps), self.gop, count
        writer = StreamWriter(Header(*made, *colour, self.precision, model.base))
        yield writer.header()
        while group := list(islice(frames, self.gop)):
            base, pictures = self._base_layer(group, qp, fps, size)
            state, ahead = None, varint(len(base)) + base
            for frame, below in zip(group, pictures):
                x, below = self._input(frame), self._input(below)
                data, state = model.encode_frame(x, below, qp, state, getattr(torch, self.precision))
                yield writer.frame(bool(ahead), qp, ahead + data)
                ahead = b""
        yield writer.end()

    def _base_layer(
        self, group: list[Tensor], qp: int, fps: Fraction, size: tuple[int, int]
    ) -> tuple[bytes, list[Tensor]]:
        """Stream and decoded frames of one group of pictures by the base codec."""
        point = base_point(self.base, qp)
        data = b"".join(self.base.encode_frames(iter(group), point, fps=fps, count=len(group), size=size))
        pictures = list(self.base.decode_frames(data))
        if len(pictures) != len(group) or any(p.shape[1:] != size for p in pictures):
            raise VideoError(f"{self.base.name} coded {len(pictures)} of {len(group)} frames of {size[1]}x{size[0]}")
        return data, pictures

    def _input(self, picture: Tensor) -> Tensor:
        return picture[None].to(self.device).float() / 255

    def decode_frames(
        self, data: bytes | StreamReader, start: int = 0, conceal: Concealment | None = None
    ) -> Iterator[Tensor]:
        """Frames uint8 ``[3, H, W]`` one by one; all whole frames come before the error of a damaged one.

        Args:
            data: the stream, or its reader (a file or a pipe; a GOP of coded data is in memory at a time).
            start: the first frame to give out.
            conceal: a frame that cannot be decoded is its base layer's alone, or else the one before it again (grey at
                the start), instead of an error.

        Raises:
            BitstreamError: damaged, cut short, without a frame ``start``, or written by another model.
        """
        stream = StreamReader(data) if isinstance(data, bytes) else data
        header = stream.header
        model = self._models.get(header.fingerprint)
        if model is None:
            raise BitstreamError(
                f"the stream was written by {header.model} ({header.fingerprint}), not by {self.name} "
                f"({', '.join(self._models)}); decode it with that checkpoint"
            )
        if header.base != model.base:
            raise BitstreamError(
                f"the stream has {'a base layer of ' + header.base if header.base else 'no base layer'}, "
                f"and {self.name} is for {model.base}"
            )
        picture = torch.full((3, header.height, header.width), 128, dtype=torch.uint8)
        layer, given = BaseLayer(self.base, (header.height, header.width)), False
        for frame in stream.frames(start, conceal):
            try:
                if frame.key and conceal is None:
                    layer.finish()
                picture, whole = self._decode(model, frame, layer, header, picture, shown=frame.number >= start)
            except BitstreamError as error:
                error = BitstreamError(f"frame {frame.number} cannot be decoded: {error}")
                if conceal is None:
                    raise error from None
                conceal.note(str(error))
                picture, whole = layer.picture if layer.picture is not None else picture, False
            if frame.number < start:
                continue
            if not whole:
                conceal.count(frame.number)
            given = True
            yield picture
        if start and not given:
            raise BitstreamError(f"there is no frame {start}, the stream has {stream.count}")
        if conceal is None:
            layer.finish()

    def _decode(
        self, model: CPVC, frame: Frame, layer: BaseLayer, header: Header, before: Tensor, shown: bool
    ) -> tuple[Tensor, bool]:
        """A frame's picture, uint8 ``[3, H, W]``, and whether it is what was coded. Raises ``BitstreamError``."""
        data = frame.data
        if frame.key and data is not None:
            data = layer.begin(data)
        if data is None:  # missing, and to be made up
            try:
                return layer.next(), False
            except BitstreamError:
                return before, False
        below = layer.next()
        if frame.beta_code not in model.qps:
            raise BitstreamError(f"its base QP is {frame.beta_code}, which {self.name} was not trained for")
        if not shown:
            return below, True
        x_hat, _, _ = model.decode_frame(data, self._input(below), frame.beta_code, getattr(torch, header.precision))
        return (x_hat[0].clamp(0, 1) * 255).round().to(torch.uint8).cpu(), True


def _reload(
    made: tuple[Sequence[Path], str, int, str, str | None], name: str, meta: dict[str, Any], fingerprints: Sequence[str]
) -> CpvcCodec:
    """The codec in another process. Raises ``CheckpointError`` if a file has been overwritten in the meantime."""
    codec = CpvcCodec(*made)
    if sorted(codec._models) != fingerprints:
        files = ", ".join(map(str, made[0]))
        raise CheckpointError(f"{files} changed while the evaluation was running; evaluate a copy of it")
    codec.name, codec.meta = name, meta
    return codec
