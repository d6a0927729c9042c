"""Trained models as codecs: real bytes out, frames decoded from bytes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pvc.codecs.base import ClipCoding, Point, beta_alpha_points
from pvc.entropy.condition import beta_to_code, code_to_beta
from pvc.entropy.container import Frame, Header, pack_frame, unpack_frames, unpack_header
from pvc.errors import BitstreamError, CheckpointError, ConfigError
from pvc.models.checkpoint import fingerprint, load_model

# The rate at the end of a single-rate checkpoint's name: -1e-4, -1.6e-3, -0.001.
_RATE = re.compile(r"-\d[\d.]*(e-?\d+)?$")


class NeuralCodec(ClipCoding):
    """One checkpoint, or several single-rate ones that differ only in beta, behind the interface of every codec.

    Args:
        checkpoints: files written by ``pvc train``.
        device: where the model runs. gop: frames from one I-frame to the next, >= 1.

    ``betas`` are the rates of single-rate checkpoints, None for a multi-rate model, which takes any beta.
    """

    def __init__(self, checkpoints: Sequence[str | Path] | str | Path, device: str = "cpu", gop: int = 12):
        paths = [Path(p) for p in ([checkpoints] if isinstance(checkpoints, str | Path) else checkpoints)]
        if not 1 <= gop <= 65535:
            raise ConfigError(f"gop={gop} is out of range; give 1 (all I-frames) to 65535")
        self.device, self.gop = torch.device(device), gop
        models = [load_model(p, device) for p in paths]
        if len(models) > 1 and any(m.multirate for m in models):
            raise ConfigError(f"{', '.join(p.stem for p in paths)}: only single-rate checkpoints can form one codec")
        self.name = _name(paths[0]) if len(paths) == 1 else _RATE.sub("", paths[0].stem)
        self.supports_importance = models[0].roi
        self._models = {fingerprint(m): m for m in models}
        self._by_beta = None if models[0].multirate else {beta_to_code(m.beta): m for m in models}
        self.betas = None if self._by_beta is None else sorted(m.beta for m in models)
        self.meta: dict[str, Any] = {"fingerprints": sorted(self._models)}
        self._paths = paths

    def __reduce__(self) -> tuple:
        """Another process gets the names of the checkpoints, not the weights, and loads them itself."""
        return _reload, (self._paths, str(self.device), self.gop, self.name, self.meta, sorted(self._models))

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """Its trained betas, or ``settings["beta"]``, with every ``settings["u_alpha"]`` if it has an ROI input."""
        return beta_alpha_points(self.betas, self.supports_importance, settings)

    def encode_frames(
        self,
        frames: Iterable[Tensor],
        point: Mapping[str, float],
        importance: Iterator[Tensor] | None = None,
        *,
        fps: Fraction,
        count: int,
        size: tuple[int, int],
    ) -> Iterator[bytes]:
        """Code ``frames`` at ``point["beta"]`` in constant memory: the header, then one chunk for each frame.

        Args:
            frames: uint8 ``[3, H, W]``, ``count`` of them, of ``size`` (H, W). importance: q ``[1, H, W]`` for each.

        Raises:
            ConfigError: a map for a model without ROI, a beta it was not trained for, or frames too large.
        """
        if importance is not None and not self.supports_importance:
            raise ConfigError(f"{self.name} takes no importance map; use a model with ROI, or leave the map out")
        code = beta_to_code(point["beta"])
        model = self._model_for(code)
        name = self.name if len(self._models) == 1 else f"{self.name}-{_short(model.beta)}"
        fps = Fraction(fps).limit_denominator(2**32 - 1)
        if max(size) > 65535:
            raise ConfigError(f"frames of {size[1]}x{size[0]} are too large; the format holds up to 65535 a side")
        yield Header(name, fingerprint(model), size[1], size[0], str(fps), self.gop, count).pack()
        past = previous = sent = None
        for i, frame in enumerate(frames):
            x = model.pad(frame[None].to(self.device).float() / 255)
            q = None if importance is None else model.pad(next(importance)[None].to(self.device).float())
            key = i % self.gop == 0
            data, past = model.encode_frame(x, code_to_beta(code), q, None if key else past, previous)
            yield pack_frame(Frame(key, code, data), sent)
            previous, sent = x, code

    def decode_frames(self, data: bytes) -> Iterator[Tensor]:
        """Frames uint8 ``[3, H, W]`` one by one; all whole frames come before the error of a damaged one.

        Raises:
            BitstreamError: damaged, cut short, or written by another model.
        """
        header, position = unpack_header(data)
        model = self._models.get(header.fingerprint)
        if model is None:
            raise BitstreamError(
                f"the stream was written by {header.model} ({header.fingerprint}), not by {self.name} "
                f"({', '.join(self._models)}); decode it with that checkpoint"
            )
        shape = [-(-n // model.multiple) * model.multiple for n in (header.height, header.width)]
        past = None
        for frame in unpack_frames(data, position, header.frames):
            past = model.decode_frame(
                frame.data, code_to_beta(frame.beta_code), tuple(shape), None if frame.key else past
            )
            out = past.reference[0, :, : header.height, : header.width]
            yield (out * 255).round().to(torch.uint8).cpu()

    def _model_for(self, code: int):
        if self._by_beta is None:
            return next(iter(self._models.values()))
        if code not in self._by_beta:
            have = ", ".join(_short(b) for b in self.betas)
            raise ConfigError(
                f"{self.name} was trained for beta={have}, not {_short(code_to_beta(code))}; give one of them"
            )
        return self._by_beta[code]


def _reload(
    paths: Sequence[Path], device: str, gop: int, name: str, meta: dict[str, Any], fingerprints: Sequence[str]
) -> NeuralCodec:
    """The codec in another process. Raises ``CheckpointError`` if a file has been overwritten in the meantime."""
    codec = NeuralCodec(paths, device, gop)
    if sorted(codec._models) != fingerprints:
        files = ", ".join(map(str, paths))
        raise CheckpointError(f"{files} changed while the evaluation was running; evaluate a copy of it")
    codec.name, codec.meta = name, meta
    return codec


def _name(path: Path) -> str:
    """What a checkpoint is called: its file name, or its run's where the file is a run's `model.safetensors`."""
    return path.resolve().parent.name if path.stem == "model" else path.stem


def _short(beta: float) -> str:
    """1e-4 rather than 0.0001, as in checkpoint names."""
    mantissa, exponent = f"{beta:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"
