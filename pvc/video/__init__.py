"""Clips in and out: the only place that converts colour or touches a container.

A clip is a uint8 RGB tensor ``[T, 3, H, W]``, a frame ``[3, H, W]``, an importance map float32 ``[T, 1, H, W]`` in
[0, 1].

Read and written: mp4, mov, mkv, webm, y4m, raw planar ``.yuv`` and folders of PNG or JPEG; read besides: whatever
FFmpeg decodes, and a single picture as a clip of one frame. Raw files say their size in their name
(``BasketballPass_416x240_50.yuv``) or by argument.
"""

from pvc.video.color import default_matrix, from_yuv420p, rgb_to_yuv, to_yuv420p, yuv_to_rgb
from pvc.video.info import VideoInfo
from pvc.video.maps import MapWriter, read_map, write_map
from pvc.video.reader import VideoReader, open_video, probe, read_clip
from pvc.video.writer import VideoWriter, write_clip

__all__ = [
    "MapWriter",
    "VideoInfo",
    "VideoReader",
    "VideoWriter",
    "default_matrix",
    "from_yuv420p",
    "open_video",
    "probe",
    "read_clip",
    "read_map",
    "rgb_to_yuv",
    "to_yuv420p",
    "write_clip",
    "write_map",
    "yuv_to_rgb",
]
