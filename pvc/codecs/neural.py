"""Trained models as codecs: real bytes out, frames decoded from bytes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pvc.codecs.ahead import ahead, read_symbols
from pvc.codecs.base import ClipCoding, Point, beta_alpha_points
from pvc.codecs.rate_control import (
    Control,
    FrameCoder,
    Trial,
    controlled,
    controlled_points,
    make_control,
    upcoming,
    with_iframe_alphas,
    with_iframe_betas,
)
from pvc.entropy.condition import beta_to_code, code_to_beta
from pvc.entropy.container import PRECISIONS, Frame, Header
from pvc.entropy.reader import Concealment, StreamReader
from pvc.entropy.writer import StreamWriter
from pvc.errors import BitstreamError, CheckpointError, ConfigError
from pvc.importance import u_from_alpha
from pvc.models import motion_search
from pvc.models.checkpoint import fingerprint, load_model
from pvc.models.rdoq import ROUNDS
from pvc.models.ssf import ScaleSpaceFlow
from pvc.paths import checkpoint_name, common_name
from pvc.video import default_matrix

# Bytes of a stream's end for each key frame, and beside them (pvc.entropy.writer): what rate control reckons with.
KEY_BYTES, END_BYTES = 3, 12

# Share of beta that I-frames have where a model of several rates codes at one beta: a better first frame serves all
# that follow. Of 1, 0.5 and 0.25 the best at alpha = 1 on training clips (benchmarks/iframe_beta.py).
IFRAME_BETA = 0.5


class NeuralCodec(ClipCoding):
    """One checkpoint, or several single-rate ones that differ only in beta, behind the interface of every codec.

    Args:
        checkpoints: files written by ``pvc train``.
        device: where the model runs. gop: frames from one I-frame to the next, >= 1.
        precision: of the encoder's transforms, ``float32`` or ``bfloat16``; streams tell the decoder.
        rdoq: rounds of the encoder's search for better symbols (:mod:`pvc.models.rdoq`), 0 to 100; 0 leaves out its
            search for motion (:mod:`pvc.models.motion_search`), too.

    ``betas`` are the rates of single-rate checkpoints, None for a multi-rate model, which takes any beta.
    """

    def __init__(
        self,
        checkpoints: Sequence[str | Path] | str | Path,
        device: str = "cpu",
        gop: int = 12,
        precision: str = "float32",
        rdoq: int = ROUNDS,
    ):
        paths = [Path(p) for p in ([checkpoints] if isinstance(checkpoints, str | Path) else checkpoints)]
        if not 1 <= gop <= 65535:
            raise ConfigError(f"gop={gop} is out of range; give 1 (all I-frames) to 65535")
        if precision not in PRECISIONS:
            raise ConfigError(f"precision={precision} is not known; give {' or '.join(PRECISIONS)}")
        if rdoq not in range(101):
            raise ConfigError(f"rdoq={rdoq} is out of range; give 0 (dead zones alone) to 100 rounds")
        self.device, self.gop, self.precision, self.rdoq = torch.device(device), gop, precision, rdoq
        models = [load_model(p, device, ScaleSpaceFlow) for p in paths]
        if len(models) > 1 and any(m.multirate for m in models):
            raise ConfigError(f"{', '.join(p.stem for p in paths)}: only single-rate checkpoints can form one codec")
        self.name = checkpoint_name(paths[0]) if len(paths) == 1 else common_name(paths[0])
        self.supports_importance = models[0].roi
        self._models = {fingerprint(m): m for m in models}
        self._by_beta = None if models[0].multirate else {beta_to_code(m.beta): m for m in models}
        self.betas = None if self._by_beta is None else sorted(m.beta for m in models)
        self.meta: dict[str, Any] = {"fingerprints": sorted(self._models)}
        if precision != "float32":
            self.meta["precision"] = precision
        if models[0].searchable:
            self.meta["rdoq"] = rdoq
        if models[0].motion_searchable:
            self.meta["motion_radii"] = [list(r) for r in motion_search.radii_of(models[0].fine_motion) if rdoq]
        if self.betas is None:
            self.meta["iframe_beta"] = IFRAME_BETA
        self._paths = paths

    def __reduce__(self) -> tuple:
        """Another process gets the names of the checkpoints, not the weights, and loads them itself."""
        made = self._paths, str(self.device), self.gop, self.precision, self.rdoq
        return _reload, (made, self.name, self.meta, sorted(self._models))

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """Its trained betas, or ``settings["beta"]``, with every ``settings["u_alpha"]`` if it has an ROI input.

        A model of several rates is run at ``bitrate``, ``psnr`` or ``roi_psnr`` instead of beta where they are lists.
        """
        found = controlled_points(self.name, self.betas is None, self.supports_importance, settings)
        if found is None:
            found = beta_alpha_points(self.betas, self.supports_importance, settings)
        found = with_iframe_alphas(found, settings)
        return found if self.betas else with_iframe_betas(found, settings)

    def control(
        self,
        point: Mapping[str, float],
        *,
        fps: Fraction,
        count: int | None,
        size: tuple[int, int],
        first: Control | None = None,
    ) -> Control:
        """What decides beta and alpha of each frame at ``point``; with the control of a ``first`` pass, for a second.

        Raises:
            ConfigError: it cannot be done with this model, or the point contradicts itself.
        """
        if (asked := controlled(point)) and self.betas is not None:
            have = ", ".join(_short(b) for b in self.betas)
            raise ConfigError(f"{self.name} codes at beta={have} and cannot hold a {asked[0]}; use a multi-rate model")
        if self.betas is None and not asked:
            point = {"iframe_beta": IFRAME_BETA, **point}
        elif point.get("iframe_beta", 1) != 1 and self.betas is not None:
            raise ConfigError(f"{self.name} codes all frames at one beta; iframe_beta is for multi-rate models")
        return make_control(point, gop=self.gop, fps=Fraction(fps), count=count, size=size, first=first)

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
        control: Control | None = None,
        early: bool = True,
    ) -> Iterator[bytes]:
        """Code ``frames`` at ``point`` in constant memory: header, one chunk for each frame, end.

        Args:
            frames: uint8 ``[3, H, W]``, of ``size`` (H, W), ``count`` of them (None: as many as come).
            point: ``beta``, or what :meth:`control` takes instead, and the ``alpha`` that the maps were made with.
            importance: q ``[1, H, W]`` for each.
            matrix, full_range: of the source, as in :class:`pvc.video.VideoInfo`; kept in the header.
            control: that of :meth:`control` for this clip and point, for who wants its report.
            early: for a GPU, frames may be taken some time before those that come before them are coded.

        Raises:
            ConfigError: a map for a model without ROI, a beta it was not trained for, or frames too large.
            ImportanceError: there are fewer maps than frames.
        """
        if importance is not None and not self.supports_importance:
            raise ConfigError(f"{self.name} takes no importance map; use a model with ROI, or leave the map out")
        control = control or self.control(point, fps=fps, count=count, size=size)
        if control.measures == "_roi" and importance is None:
            raise ConfigError("a PSNR in the region of interest needs an importance map, which says where that is")
        model = self._model_for(point.get("beta"))
        name = self.name if len(self._models) == 1 else f"{self.name}-{_short(model.beta)}"
        fps = Fraction(fps).limit_denominator(2**32 - 1)
        colour = matrix or default_matrix(size[0]), full_range
        made = name, fingerprint(model), size[1], size[0], str(fps), self.gop, count
        writer = StreamWriter(Header(*made, *colour, self.precision))
        yield writer.header()
        control.overhead(8 * (len(writer.header()) + END_BYTES))
        end = END_BYTES  # what the last record is expected to have
        u_alpha = u_from_alpha(point.get("alpha", 1.0))
        coder = FrameCoder(model, self.device, u_alpha, control.measures, getattr(torch, self.precision), self.rdoq)
        given = upcoming(frames, importance, count, control.look_ahead)
        for number, frame in enumerate(coder.in_time(given, early, hints=self.gop > 1)):
            if number == 0:
                control.learn(coder.probe(frame, control.probe()))
            trials: list[Trial] = []
            while not isinstance(verdict := control.choose(frame.left, trials), Trial):
                trials.append(coder.code(frame, verdict))
            coder.keep(frame, verdict)
            record = writer.frame(verdict.choice.key, verdict.choice.code, verdict.coded[0])
            control.spent(replace(verdict, bits=8 * (len(record) + KEY_BYTES * verdict.choice.key)))
            end += KEY_BYTES * verdict.choice.key
            yield record
        last = writer.end()
        control.overhead(8 * (len(last) - end))
        yield last

    def decode_frames(
        self, data: bytes | StreamReader, start: int = 0, conceal: Concealment | None = None
    ) -> Iterator[Tensor]:
        """Frames uint8 ``[3, H, W]`` one by one; all whole frames come before the error of a damaged one.

        Args:
            data: the stream, or its reader (a file or a pipe, in constant memory).
            start: the first frame to give out.
            conceal: a frame that cannot be decoded is the one before it again (grey at the start) instead of an error.

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
        picture = torch.full((3, header.height, header.width), 128, dtype=torch.uint8)
        past, given = None, False
        for frame, symbols in self._read(model, stream.frames(start, conceal), header):
            if isinstance(symbols, BitstreamError):
                error = BitstreamError(f"frame {frame.number} cannot be decoded: {symbols}")
                if conceal is None:
                    raise error from None
                conceal.note(str(error))
                symbols = None
            if symbols is None:
                past = None
            else:
                beta, past = code_to_beta(frame.beta_code), None if frame.key else past
                past = model.rebuild_frame(symbols, beta, past, getattr(torch, header.precision))
            if past is not None:
                out = past.reference[0, :, : header.height, : header.width]
                picture = (out * 255).round().to(torch.uint8).cpu()
            if frame.number < start:
                continue
            if past is None:
                conceal.count(frame.number)
            given = True
            yield picture
        if start and not given:
            raise BitstreamError(f"there is no frame {start}, the stream has {stream.count}")

    def _read(self, model: ScaleSpaceFlow, frames: Iterator[Frame], header: Header):
        """Frames with their symbols, which on a GPU are read while the picture before is made."""
        if self.device.type != "cuda":
            return read_symbols(model, frames, header)
        return ahead(read_symbols(model, frames, header, torch.cuda.Stream(self.device)))

    def _model_for(self, beta: float | None) -> ScaleSpaceFlow:
        if self._by_beta is None:
            return next(iter(self._models.values()))
        code = beta_to_code(beta)
        if code not in self._by_beta:
            have = ", ".join(_short(b) for b in self.betas)
            raise ConfigError(
                f"{self.name} was trained for beta={have}, not {_short(code_to_beta(code))}; give one of them"
            )
        return self._by_beta[code]


def _reload(
    made: tuple[Sequence[Path], str, int, str, int], name: str, meta: dict[str, Any], fingerprints: Sequence[str]
) -> NeuralCodec:
    """The codec in another process. Raises ``CheckpointError`` if a file has been overwritten in the meantime."""
    codec = NeuralCodec(*made)
    if sorted(codec._models) != fingerprints:
        files = ", ".join(map(str, made[0]))
        raise CheckpointError(f"{files} changed while the evaluation was running; evaluate a copy of it")
    codec.name, codec.meta = name, meta
    return codec


def _short(beta: float) -> str:
    """1e-4 rather than 0.0001, as in checkpoint names."""
    mantissa, exponent = f"{beta:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
