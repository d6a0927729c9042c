"""A clip coded by a trained model: people paint for the neural codec."""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from pvc.annotate.coders import Coded, Step
from pvc.annotate.maps import Values, at_clip_size
from pvc.annotate.movies import from_rgb, write_playable
from pvc.codecs.neural import NeuralCodec
from pvc.importance import u_from_alpha, weighted_mask
from pvc.video import VideoReader, VideoWriter, default_matrix

PASSES = 4  # until the bitrate is met
_CODING = 0.7  # share of the time for one pass; the rest is decoding


class ModelCoder:
    """A trained model whose beta holds the bitrate, frame by frame (:mod:`pvc.codecs.rate_control`)."""

    neutral = False

    def __init__(self, codec: NeuralCodec, source: Path, fps: Fraction, count: int, alpha: float) -> None:
        self._codec, self._source, self._fps, self._count, self._alpha = codec, source, fps, count, alpha

    def code(self, out: Path, kbps: float, values: Values | None, ask: float | None, close: float, step: Step) -> Coded:
        """See :class:`Coder`. A pass that misses is followed by one that knows what each frame costs."""
        stream, first, asked = out.with_suffix(".pvc"), None, ask or kbps
        tried: list[tuple[float, float, bytes]] = []
        for number in range(PASSES):
            with VideoReader(self._source) as reader:
                size = reader.info.height, reader.info.width
                point = {"bitrate": asked, "alpha": 1.0 if values is None else self._alpha}
                about = {"fps": self._fps, "count": self._count, "size": size}
                control = self._codec.control(point, **about, first=first)
                frames = self._told(reader, step, number)
                data = b"".join(
                    self._codec.encode_frames(frames, point, self._maps(values, size), **about, control=control)
                )
            got = 8 * len(data) * float(self._fps) / 1000 / self._count
            tried.append((got, asked, data))
            if abs(got / kbps - 1) <= close:
                break
            first, asked = first or control, asked * kbps / got
        got, asked, data = min(tried, key=lambda one: abs(one[0] - kbps))
        partial = stream.with_name(f".{stream.name}.partial")
        partial.write_bytes(data)
        os.replace(partial, stream)
        decoded = out.with_name(f".{out.stem}.decoded.mkv")
        with VideoWriter(decoded, height=size[0], width=size[1], fps=self._fps) as writer:
            for t, frame in enumerate(self._codec.decode_frames(data)):
                step(_CODING + (1 - _CODING) * t / self._count)
                writer.write(frame)
        with VideoReader(decoded) as frames:
            write_playable(out, from_rgb(frames, default_matrix(size[0])), self._fps)
        return Coded(got, asked, stream, decoded)

    def _told(self, reader: VideoReader, step: Step, number: int) -> Iterator[Tensor]:
        for t, frame in zip(range(self._count), reader):
            step(_CODING * t / self._count if number == 0 else _CODING)
            yield frame

    def _maps(self, values: Values | None, size: tuple[int, int]) -> Iterator[Tensor] | None:
        if values is None:
            return None
        u_alpha = u_from_alpha(self._alpha)
        maps = (torch.from_numpy(at_clip_size(plane, size)).float()[None] / 255 for plane in values)
        return (weighted_mask(m, u_alpha) for m in maps)
