"""VMAF by the libvmaf inside imageio-ffmpeg's FFmpeg, fed frame by frame through one pipe."""

import contextlib
import json
import math
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from pvc.errors import ConfigError
from pvc.metrics.base import Metric, Scores, Unavailable, check_pair, too_small
from pvc.versions import versions
from pvc.video import to_yuv420p
from pvc.video.ffmpeg_binary import ffmpeg_binary

SMALLEST = 32  # pixels; libvmaf crashes below 18
_MODELS = {  # built into libvmaf: name of the value, filter argument
    "default": ("vmaf", "version=vmaf_v0.6.1"),
    "neg": ("vmaf_neg", "version=vmaf_v0.6.1neg"),
    "phone": ("vmaf_phone", r"version=vmaf_v0.6.1\\:enable_transform=true"),
    "4k": ("vmaf_4k", "version=vmaf_4k_v0.6.1"),
}


@dataclass(frozen=True)
class Vmaf(Metric):
    """``vmaf``, ``vmaf_neg``, ``vmaf_phone`` or ``vmaf_4k``: 0 to 100, mean over frames, of the whole frame.

    Both clips are converted alike to 8-bit 4:2:0 of limited range, BT.601 below 720 lines and BT.709 from there; odd
    sizes are padded by their last row or column.

    Args:
        model: ``default`` (v0.6.1, 1080p on a television), ``neg`` (does not reward sharpening), ``phone``, ``4k``.
        threads: Of libvmaf; the value does not depend on it.
    """

    model: str = "default"
    threads: int = 1
    unrecorded = frozenset({"threads"})
    libraries = ("av",)  # converts the frames

    def __post_init__(self) -> None:
        if self.model not in _MODELS:
            raise ConfigError(f"metric vmaf: no model {self.model!r}; there are: {', '.join(_MODELS)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Named after the model."""
        return (_MODELS[self.model][0],)

    def missing(self) -> str | None:
        """Whether there is an FFmpeg with libvmaf."""
        try:
            ffmpeg_binary("filters", "libvmaf")
        except ConfigError as error:
            return str(error)
        return None

    @property
    def identity(self) -> dict[str, Any]:
        """The settings, and the version of the FFmpeg with libvmaf, which is absent where there is none."""
        if self.missing():
            return super().identity
        _, version = ffmpeg_binary("filters", "libvmaf")
        return {**super().identity, "libraries": {**versions(*self.libraries), "imageio-ffmpeg's ffmpeg": version}}

    def start(self) -> "_Run | Unavailable":
        """FFmpeg starts with the first frame and ends with :meth:`scores` or :meth:`close`."""
        if reason := self.missing():
            return Unavailable(self.names, reason)
        return _Run(ffmpeg_binary("filters", "libvmaf")[0], self)


class _Run:
    """Accumulator: one FFmpeg process.

    Both pictures of a frame go through one pipe, one above the other, and the filter graph cuts them apart: with a pipe
    for each, FFmpeg may wait for the one while we wait to be let into the other.
    """

    def __init__(self, binary: str, family: Vmaf):
        self._binary, self._family = binary, family
        self._count, self._reason = 0, None
        self._folder: tempfile.TemporaryDirectory | None = None
        self._process: subprocess.Popen | None = None
        self._messages: IO[bytes] | None = None

    def add(self, reference: Tensor, decoded: Tensor, importance: Tensor | None) -> None:
        check_pair(reference, decoded, importance)
        self._reason = self._reason or too_small(reference, SMALLEST)
        for r, d in zip(reference, decoded, strict=True):
            if self._reason:
                return
            planes = to_yuv420p(torch.stack([r, d]))  # [2, h, w] each: the two pictures one above the other
            if self._process is None:
                self._open(*planes[0].shape[1:])
            try:
                for plane in planes:
                    self._process.stdin.write(plane.numpy().tobytes())
            except BrokenPipeError:
                self._reason = self._complaint()
            self._count += 1

    def _open(self, height: int, width: int) -> None:
        model = _MODELS[self._family.model][1]
        graph = (
            f"split[a][b];[a]crop={width}:{height}:0:0[reference];[b]crop={width}:{height}:0:{height}[decoded];"
            f"[decoded][reference]libvmaf=model={model}:n_threads={self._family.threads}:log_fmt=json:log_path=vmaf.json"
        )
        source = f"-f rawvideo -pix_fmt yuv420p -video_size {width}x{2 * height} -framerate 25 -i pipe:0".split()
        command = [self._binary, "-hide_banner", "-loglevel", "error", *source]
        self._folder = tempfile.TemporaryDirectory(prefix="pvc-vmaf-")
        self._messages = (Path(self._folder.name) / "messages").open("wb+")
        self._process = subprocess.Popen(
            [*command, "-filter_complex", graph, "-f", "null", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._messages,
            cwd=self._folder.name,
        )

    def scores(self) -> Scores:
        try:
            return self._finish()
        finally:
            self.close()

    def _finish(self) -> Scores:
        (name,) = self._family.names
        if self._process is not None and not self._reason:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                self._reason = self._complaint()
            if self._process.wait() != 0:
                self._reason = self._complaint()
        if self._reason or not self._count:
            return Scores(unavailable={name: self._reason or "the clip has no frames"})
        frames = json.loads((Path(self._folder.name) / "vmaf.json").read_text())["frames"]
        if len(frames) != self._count:
            return Scores(unavailable={name: f"libvmaf measured {len(frames)} of {self._count} frames"})
        return Scores(values={name: math.fsum(f["metrics"]["vmaf"] for f in frames) / len(frames)})

    def _complaint(self) -> str:
        """What FFmpeg said before it ended, in one line."""
        code = self._process.wait()
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").split("\n")
        said = " ".join(line.strip() for line in lines if line.strip())[:200]
        return f"FFmpeg with libvmaf failed with exit code {code}{': ' if said else ''}{said}"

    def close(self) -> None:
        process, folder, self._process, self._folder = self._process, self._folder, None, None
        if process is not None:
            process.kill()
            process.wait()
            with contextlib.suppress(BrokenPipeError):  # what was still buffered has no reader any more
                process.stdin.close()
            self._messages.close()
        if folder is not None:
            folder.cleanup()
