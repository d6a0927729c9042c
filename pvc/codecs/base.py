"""What every codec is: a clip and an operating point in, bytes out; bytes in, a clip out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from pvc.errors import BitstreamError, ConfigError, VideoError
from pvc.importance import check_map

Point = dict[str, float]


@runtime_checkable
class Codec(Protocol):
    """A codec as the evaluation and the command line see it: frame by frame, so memory does not grow with the clip.

    Attributes:
        name: What the codec is called in records and tables.
        supports_importance: Whether it spends bits by an importance map. The others are only asked for alpha = 1 and
            never get a map.
        meta: JSON-able options that decide the bits (preset, encoder options, GOP, checkpoint hashes). Two results
            are comparable and reusable when it agrees.
        gop: Frames from one key frame to the next.
    """

    name: str
    supports_importance: bool
    meta: dict[str, Any]
    gop: int

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """Operating points to evaluate, made of the settings' lists (``crf``, ``qp``, or ``beta`` and ``u_alpha``)."""
        ...

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
        """Code ``frames`` at ``point``; the chunks joined are the stream.

        Args:
            frames: uint8 RGB ``[3, H, W]``, ``count`` of them, of ``size`` (H, W); taken one by one as they are needed.
            point: One operating point.
            importance: q, float32 in [0, 1], ``[1, H, W]`` for each frame; None codes every pixel alike.
            fps: Frames a second.
        """
        ...

    def decode_frames(self, data: bytes) -> Iterator[Tensor]:
        """Frames uint8 RGB ``[3, H, W]`` of the stream ``data``, one by one.

        Raises:
            BitstreamError: where the stream is damaged, after all whole frames before that place.
        """
        ...


class ClipCoding:
    """Mixin: whole clips in and out, for a codec that has ``encode_frames`` and ``decode_frames``."""

    def encode(
        self,
        clip: Tensor,
        point: Mapping[str, float],
        importance: Tensor | None = None,
        *,
        fps: Fraction = Fraction(30),
    ) -> bytes:
        """The stream of ``clip`` (uint8 RGB ``[T, 3, H, W]``) at ``point``, by the map ``importance``.

        Args:
            importance: float32 in [0, 1], ``[T, 1, H, W]``. fps: Frames a second.

        Raises:
            VideoError: the clip is not uint8 RGB.
            ImportanceError: the map does not belong to the clip.
        """
        if clip.dtype != torch.uint8 or clip.ndim != 4 or clip.shape[1] != 3 or len(clip) == 0:
            raise VideoError(f"codec {self.name} needs a uint8 clip [T, 3, H, W], got {clip.dtype} {list(clip.shape)}")
        if importance is not None:
            check_map(importance, clip)
        maps = None if importance is None else iter(importance)
        size = (clip.shape[-2], clip.shape[-1])
        return b"".join(self.encode_frames(clip, point, maps, fps=Fraction(fps), count=len(clip), size=size))

    def decode(self, data: bytes) -> Tensor:
        """The clip (uint8 RGB ``[T, 3, H, W]``) of a stream. Raises ``BitstreamError`` where it is damaged."""
        frames = list(self.decode_frames(data))
        if not frames:
            raise BitstreamError(f"{self.name}: the stream of {len(data)} bytes holds no frame")
        return torch.stack(frames)


def beta_alpha_points(
    trained_betas: Sequence[float] | None, supports_importance: bool, settings: Mapping[str, Any]
) -> list[Point]:
    """Operating points of a learned codec: every rate parameter with every ROI parameter.

    Args:
        trained_betas: The betas a group of single-rate models was trained for, or ``None`` for a codec that takes any
            beta, which is then asked for ``settings["beta"]``.
        supports_importance: Whether alpha means something; without it there is alpha = 1 only.
        settings: ``beta`` (list in [1e-4, 1.28e-2]) and ``u_alpha`` (list in [0, 1], alpha = 60^(1 - u_alpha),
            equation 5 of the spatial-control paper).

    Raises:
        ConfigError: a list is empty or holds a value outside its range.
    """
    from pvc.importance import alpha_from_u

    betas = list(trained_betas) if trained_betas is not None else numbers(settings, "beta", 1e-4, 1.28e-2)
    u_alphas = numbers(settings, "u_alpha", 0.0, 1.0) if supports_importance else [1.0]
    return [{"beta": beta, "alpha": float(alpha_from_u(u))} for u, beta in product(u_alphas, betas)]


def numbers(settings: Mapping[str, Any], key: str, low: float, high: float) -> list[float]:
    """The list of numbers ``settings[key]`` (one number will do), each checked to lie in [low, high]."""
    value = settings.get(key)
    values = [value] if isinstance(value, int | float | str) or value is None else list(value)
    try:
        floats = [float(v) for v in values]
    except (TypeError, ValueError):
        raise ConfigError(f"{key}={value!r} is not a list of numbers; write e.g. {key}=[{low:g},{high:g}]") from None
    for v in floats:
        if not low <= v <= high:
            raise ConfigError(f"{key}={v:g} lies outside [{low:g}, {high:g}]")
    if not floats:
        raise ConfigError(f"{key} is an empty list; give at least one number in [{low:g}, {high:g}]")
    if len(set(floats)) < len(floats):
        raise ConfigError(f"{key} names a value twice: {floats}")
    return floats
