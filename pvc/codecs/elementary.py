"""Decoding of elementary streams, those without a container, by the decoders that PyAV bundles."""

import io
from collections.abc import Iterator

import av
import torch
from torch import Tensor

from pvc.codecs.odd_size import true_size
from pvc.errors import BitstreamError
from pvc.video import default_matrix, yuv_to_rgb
from pvc.video.color import planes_of

COLORSPACE = {"bt601": 5, "bt709": 1, "bt2020": 9}  # AVColorSpace: BT470BG, BT709, BT2020_NCL
COLORSPACE_NAMES = {None: "{MATRIX}", "bt601": "bt470bg", "bt709": "bt709", "bt2020": "bt2020nc"}
"""The same as FFmpeg's command line calls them; a placeholder for the one that goes by the frames' height."""
_MATRIX = {5: "bt601", 6: "bt601", 1: "bt709", 9: "bt2020"}


def decode_elementary(name: str, data: bytes, form: str, pix_fmt: str) -> Iterator[Tensor]:
    """Frames uint8 RGB ``[3, H, W]`` of ``data`` one by one, by the matrix and range that the stream itself carries.

    Args:
        name: The codec's, for messages.
        data: The stream, odd sizes as :mod:`pvc.codecs.odd_size` or the stream itself says them.
        form: FFmpeg's name of the stream's format.
        pix_fmt: What its frames must be.

    Raises:
        BitstreamError: where the stream is damaged, after the frames before it, or at once where it holds no frame.
    """
    shape = None
    try:
        with av.open(io.BytesIO(data), format=form) as container:
            container.streams.video[0].codec_context.options = {"err_detect": "explode"}
            for frame in container.decode(video=0):
                shape = shape or (frame.height, frame.width)
                kind = frame.format.name.replace("yuvj", "yuv")  # FFmpeg's old name of full range
                if kind != pix_fmt or shape != (frame.height, frame.width):
                    raise BitstreamError(
                        f"{name}: the stream has a frame of {frame.width}x{frame.height} {frame.format.name}; "
                        "it was not written by this codec"
                    )
                height, width = true_size(data, *shape)
                matrix = _MATRIX.get(int(frame.colorspace), default_matrix(height))
                planes = [torch.from_numpy(plane.copy())[None] for plane in planes_of(frame)]
                rgb = yuv_to_rgb(*planes, pix_fmt, matrix, int(frame.color_range) == 2)
                yield rgb[0, :, :height, :width].contiguous()
    except (av.error.FFmpegError, IndexError) as error:
        raise BitstreamError(f"{name}: the stream of {len(data)} bytes does not decode: {error}") from error
    if shape is None:
        raise BitstreamError(f"{name}: the stream of {len(data)} bytes holds no frame")
