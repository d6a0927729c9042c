"""The base layer of a layered stream: its operating point, and its pictures when it is decoded."""

from collections.abc import Iterator

from torch import Tensor

from pvc.codecs.base import Codec, Point
from pvc.entropy.container import read_varint
from pvc.errors import BitstreamError, ConfigError, PvcError


def base_point(codec: Codec, qp: int) -> Point:
    """The operating point at which ``codec`` is a base layer of ``qp``: its QP or CRF, and no importance map.

    Raises:
        ConfigError: it has neither, or not this one.
    """
    points = codec.points({"qp": [qp], "crf": [qp], "u_alpha": [1.0]})
    fitting = [point for point in points if point.get("qp", point.get("crf")) == qp]
    if len(fitting) != 1:
        raise ConfigError(
            f"codec {codec.name} cannot be the base layer: it is set by neither QP nor CRF; give a codec that is, such "
            "as vvenc-cpvc, x264 or x265"
        )
    return fitting[0]


class BaseLayer:
    """Pictures of the group of pictures at hand, one by one.

    Args:
        codec: that made them. size: (H, W) that they must have.

    Attributes:
        picture: the one that :meth:`next` gave last, in this group of pictures; None: it has given none.
    """

    def __init__(self, codec: Codec, size: tuple[int, int]):
        self._codec, self._size = codec, size
        self._pictures: Iterator[Tensor] = iter(())
        self.picture: Tensor | None = None

    def begin(self, data: bytes) -> bytes:
        """Take the base stream from the front of a key frame's ``data``; the rest is returned.

        Raises:
            BitstreamError: ``data`` is shorter than it says.
        """
        self._pictures = iter(())
        try:
            length, at = read_varint(data, 0)
        except (IndexError, ValueError):
            length, at = len(data) + 1, 0
        if at + length > len(data):
            raise BitstreamError("its base layer ends early")
        self._pictures = iter(self._codec.decode_frames(data[at : at + length]))
        self.picture = None
        return data[at + length :]

    def next(self) -> Tensor:
        """The next picture, uint8 ``[3, H, W]``.

        Raises:
            BitstreamError: there is none, it is damaged, or it has another size.
        """
        self.picture = None
        found = self._pull()
        if found is None:
            raise BitstreamError(f"its base layer ({self._codec.name}) ends early")
        if found.shape[1:] != self._size:
            (h, w), (height, width) = found.shape[1:], self._size
            raise BitstreamError(f"its base layer is {w}x{h}, and the stream {width}x{height}")
        self.picture = found
        return found

    def finish(self) -> None:
        """The group of pictures has ended. Raises ``BitstreamError`` if its base layer goes on."""
        if self._pull() is not None:
            raise BitstreamError("the base layer of the frames before has more frames than the neural stream")

    def _pull(self) -> Tensor | None:
        try:
            return next(self._pictures, None)
        except PvcError as error:
            self._pictures = iter(())
            raise BitstreamError(f"its base layer is damaged: {error}") from None
