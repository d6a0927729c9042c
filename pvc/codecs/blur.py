"""Any codec behind a blur by importance: what matters less is blurred before coding, so that it costs fewer bits."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import product
from typing import Any

from torch import Tensor

from pvc.codecs.base import ClipCoding, Point, numbers
from pvc.codecs.registry import load_codec
from pvc.importance import alpha_from_u
from pvc.importance.blur import blurred, load_blur


class BlurCodec(ClipCoding):
    """``codec`` on frames that are blurred by their importance maps first; its decoder as it is.

    The blur goes by the map q = (1 - m) u_alpha + m that every codec gets, not by m. So alpha says how strong it is, as
    it does for the others, and continuously: u_alpha = 0 (alpha = 60) blurs by m itself, which is what the blurs of
    ``configs/blur`` were made for; at u_alpha 0.5 the background has half the sigma of ``strong``; at u_alpha 1
    (alpha = 1) there is no map, and the bits are those of ``codec`` alone. The sigmoid of the paper knows no "not at
    all": its blurs end at u_alpha just below 1 with a sigma that is the same everywhere.

    Args:
        name: What the codec is called in tables.
        codec: Name of the codec behind the blur: of ``configs/codec``, or a checkpoint. It is run without a map, also
            where it could take one.
        blur: Name of the blur (``configs/blur``), or ``{name: {setting: value}}``.
        gop, device: Of the codec behind it.

    Raises:
        ConfigError: there is no such codec or blur.
    """

    supports_importance = True

    def __init__(
        self, name: str, codec: str, blur: str | Mapping[str, Mapping[str, float]], gop: int = 12, device: str = "cpu"
    ):
        self.name, self._codec = name, load_codec(codec, gop, device)
        strength, changes = next(iter(blur.items())) if isinstance(blur, Mapping) else (blur, {})
        self._blur = load_blur(strength, **changes)
        self.gop = self._codec.gop
        self.meta: dict[str, Any] = {**self._codec.meta, "blur": self._blur.meta}

    def points(self, settings: Mapping[str, Any]) -> list[Point]:
        """The points of the codec behind the blur, for each of ``settings["u_alpha"]`` (0 to 1)."""
        alphas = [float(alpha_from_u(u)) for u in numbers(settings, "u_alpha", 0, 1)]
        plain = self._codec.points({**settings, "u_alpha": [1.0]})
        return [{**point, "alpha": alpha} for alpha, point in product(alphas, plain)]

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
        """The stream of the codec behind the blur; without a map it gets the frames as they are.

        Raises:
            ImportanceError: a map does not fit its frame, or they end too early. PvcError: that codec's own.
        """
        if importance is not None:
            frames = blurred(frames, importance, self._blur)
        return self._codec.encode_frames(frames, {**point, "alpha": 1.0}, fps=fps, count=count, size=size)

    def decode_frames(self, data: bytes) -> Iterator[Tensor]:
        """Frames by the decoder of the codec behind the blur."""
        return self._codec.decode_frames(data)
