"""A small real codec that spends bits by importance, and sequences in memory."""

import struct
import zlib
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn
from torch import Tensor

from pvc.codecs.base import ClipCoding, beta_alpha_points
from pvc.data import Sequence
from pvc.importance import distortion_weight

BLOCK = 8


class BlockCodec(ClipCoding):
    """8x8 DCT of every frame, one step, zlib: importance sets the dead zone, which the decoder need not know."""

    supports_importance = True
    gop = 12

    def __init__(self, name="block", supports_importance=True, betas=None):
        self.name, self.supports_importance, self.betas = name, supports_importance, betas
        self.meta = {"block": BLOCK}
        self.encoded = 0

    def points(self, settings):
        return beta_alpha_points(self.betas, self.supports_importance, settings)

    def encode_frames(self, frames, point, importance=None, *, fps, count, size):
        self.encoded += 1
        step = 1200 * point["beta"] ** 0.5
        yield struct.pack("<3Hf", count, *size, step)
        for frame in frames:
            coefficients = dctn(_blocks(frame.numpy().astype(np.float32) - 128), axes=(-2, -1), norm="ortho") / step
            if importance is not None:
                weight = _blocks(distortion_weight(next(importance)).numpy()).mean((-2, -1), keepdims=True)
                coefficients[np.abs(coefficients) < 0.6 * weight**-0.5] = 0
            coded = zlib.compress(np.round(coefficients).astype(np.int16).tobytes(), 9)
            yield struct.pack("<I", len(coded)) + coded

    def decode_frames(self, data):
        count, height, width, step = struct.unpack_from("<3Hf", data)
        at = struct.calcsize("<3Hf")
        for _ in range(count):
            (length,) = struct.unpack_from("<I", data, at)
            quantised = np.frombuffer(zlib.decompress(data[at + 4 : at + 4 + length]), np.int16).astype(np.float32)
            at += 4 + length
            blocks = quantised.reshape(3, height // BLOCK, width // BLOCK, BLOCK, BLOCK)
            pixels = idctn(blocks * step, axes=(-2, -1), norm="ortho").swapaxes(-3, -2).reshape(3, height, width)
            yield torch.from_numpy(np.clip(np.round(pixels + 128), 0, 255).astype(np.uint8))


def _blocks(image: np.ndarray) -> np.ndarray:
    """``[C, H, W]`` to ``[C, H/8, W/8, 8, 8]``."""
    c, h, w = image.shape
    return image.reshape(c, h // BLOCK, BLOCK, w // BLOCK, BLOCK).swapaxes(-3, -2)


@dataclass
class InMemory(Sequence):
    """A sequence that is there already; ``reads`` counts how often it was read."""

    clip: Tensor = None
    mask: Tensor | None = None
    reads: list = field(default_factory=list)

    @property
    def has_mask(self):
        return self.mask is not None

    def _read(self, start, count, box, step):
        self.reads.append((start, count))
        return self.clip[start : start + count]

    def _read_mask(self, start, count, box, step):
        return self.mask[start : start + count]


def make_sequence(name, seed=0, frames=3, height=64, width=96, mask=True) -> InMemory:
    """Moving texture with a textured square that moves the other way and is the ROI."""
    generator = torch.Generator().manual_seed(seed)
    texture = torch.rand(1, 3, height // 4, width // 4, generator=generator) * 160 + 40
    ground = torch.nn.functional.interpolate(texture, (height, width), mode="bicubic")[0]
    ground = ground + torch.randn(3, height, width, generator=generator) * 6
    thing = torch.rand(3, 24, 24, generator=generator) * 200 + 20
    clip, masks = [], []
    for t in range(frames):
        frame, m = ground.roll(t, -1).clone(), torch.zeros(1, height, width)
        frame[:, 16:40, 40 - 2 * t : 64 - 2 * t] = thing
        m[:, 16:40, 40 - 2 * t : 64 - 2 * t] = 1
        clip.append(frame.clamp(0, 255).round().to(torch.uint8))
        masks.append(m)
    sequence = InMemory("toy", name, frames, height, width, Fraction(25), torch.stack(clip))
    sequence.mask = torch.stack(masks) if mask else None
    return sequence


@pytest.fixture
def block_codec():
    """Class of the stand-in codec."""
    return BlockCodec


@pytest.fixture
def sequence():
    """Maker of sequences in memory."""
    return make_sequence


@pytest.fixture
def settings():
    """Settings of a quick evaluation."""
    return {
        "frames": None,
        "gop": 12,
        "crf": [20, 26, 32, 38, 44],
        "beta": [2e-4, 8e-4, 3.2e-3, 1.28e-2],
        "u_alpha": [1.0, 0.6, 0.2],
    }
