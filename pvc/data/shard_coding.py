"""How a shard holds frames and masks: without loss, each on its own."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pvc.data.sequence import Box
from pvc.video.images import decode_png


def encode_frame(frame: Tensor, coding: str) -> bytes:
    """uint8 ``[3, H, W]``, without loss: as ``"png"``, or ``"raw"`` as it is in memory."""
    if coding == "raw":
        return frame.contiguous().numpy().tobytes()
    return _png(cv2.cvtColor(frame.permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2BGR))


def encode_mask(mask: Tensor) -> bytes:
    """float32 ``[1, H, W]``, without loss: as a grey PNG where its values are whole 255ths, else as they are."""
    grey = mask.mul(255).round().byte()
    if torch.equal(grey.float() / 255, mask):
        return _png(grey[0].contiguous().numpy())
    return mask.contiguous().numpy().tobytes()


def put_frame(data: bytes, coding: str, box: Box, size: tuple[int, int], out: NDArray[np.uint8]) -> bool:
    """Write the window ``box`` of a stored frame into ``out`` ``[3, h, w]``.

    Returns:
        False where ``data`` is no frame of ``size`` (height, width).
    """
    window = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
    if coding == "raw":
        if len(data) != 3 * size[0] * size[1]:
            return False
        out[:] = np.frombuffer(data, np.uint8).reshape(3, *size)[:, *window]
        return True
    pixels = decode_png(bytes(data))
    if pixels is None or pixels.shape != (*size, 3):
        return False
    cv2.split(pixels[window], list(out))
    return True


def decode_mask(data: bytes, size: tuple[int, int]) -> NDArray[np.float32] | None:
    """A stored mask, ``[H, W]`` in [0, 1]; None where ``data`` is none of ``size``."""
    if len(data) == 4 * size[0] * size[1]:
        return np.array(np.frombuffer(data, np.float32).reshape(size))  # a copy, as shards cannot be written to
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return grey.astype(np.float32) / 255 if grey is not None and grey.shape == size else None


def _png(picture: NDArray) -> bytes:
    # The fastest of zlib's levels and its run-length mode: less than the default makes, and decoded in the same time.
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    return cv2.imencode(".png", picture, how)[1].tobytes()
