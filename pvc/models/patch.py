"""Transforms of the tiny models: a linear 16x16 block transform beside a network at an eighth of the resolution.

The linear path starts as the lowest functions of the DCT in opponent colours, so the codec is JPEG-like before it has
learnt anything, and the network beside it (depthwise and pointwise convolutions at 1/8 and 1/16) learns the rest. All
costly layers work on 1/64 of the pixels, which is what makes an hour of two cores count.
"""

import math
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pvc.entropy.condition import BetaCondition, Conditioned, TakesBeta
from pvc.models.rows import BlockSynthesis, Pointwise, Upsample, shuffle, unshuffle
from pvc.models.warp import bordered

BLOCK = 16

# Orthonormal opponent colours: lightness, red-blue, green-magenta.
OPPONENT = torch.tensor([[1, 1, 1], [1, 0, -1], [1, -2, 1]], dtype=torch.float64)
OPPONENT = OPPONENT / OPPONENT.norm(dim=1, keepdim=True)


def dct_frequencies(count: int, block: int = BLOCK) -> list[tuple[int, int]]:
    """The ``count`` lowest (vertical, horizontal) frequencies of the DCT of ``block`` x ``block``, by radius."""
    grid = [(v, u) for v in range(block) for u in range(block)]
    return sorted(grid, key=lambda f: (f[0] ** 2 + f[1] ** 2, f))[:count]


def dct_basis(count: int, block: int = BLOCK) -> Tensor:
    """Orthonormal DCT-II functions [count, block, block] of :func:`dct_frequencies`."""
    n = torch.arange(block, dtype=torch.float64)
    rows = torch.stack([torch.cos(math.pi * (n + 0.5) * k / block) * math.sqrt(2 / block) for k in range(block)])
    rows[0] /= math.sqrt(2)
    return torch.stack([torch.outer(rows[v], rows[u]) for v, u in dct_frequencies(count, block)])


def image_basis(latent: int, chroma: int, block: int = BLOCK) -> Tensor:
    """Basis pictures [latent, 3, block, block]: ``latent - 2 chroma`` of lightness, ``chroma`` of either colour."""
    counts = (latent - 2 * chroma, chroma, chroma)
    parts = [torch.einsum("khw,c->kchw", dct_basis(n, block), OPPONENT[i]) for i, n in enumerate(counts)]
    return torch.cat(parts).float()


def image_deviation(latent: int, chroma: int, amplitude: float) -> Tensor:
    """Rough standard deviation [latent] of the coefficients of natural pictures, to start the entropy model from."""
    parts = []
    for weight, n in ((1.0, latent - 2 * chroma), (0.25, chroma), (0.25, chroma)):
        parts += [weight * amplitude / (1 + v * v + u * u) ** 0.75 for v, u in dct_frequencies(n)]
    return torch.tensor(parts)


class Block(TakesBeta):
    """Residual block: pointwise, depthwise 3x3, activation (and beta condition), pointwise."""

    def __init__(self, channels: int, multirate: bool):
        super().__init__()
        layers = [
            Pointwise(channels, 2 * channels),
            nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels),
            nn.LeakyReLU(0.125, inplace=True),
            *([BetaCondition(2 * channels)] if multirate else []),
            Pointwise(2 * channels, channels),
        ]
        self.body = Conditioned(layers)

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        """``x`` [N, C, H, W] -> same shape."""
        *layers, last = self.body
        if isinstance(layers[-1], BetaCondition) and len(e) == 1:  # one scale and shift: they go into the weights
            scale, shift = layers.pop().coefficients(e)
        else:
            scale = shift = None
        h = x
        for layer in layers:
            h = layer(h, e) if isinstance(layer, BetaCondition) else layer(h)
        return last(h, scale, shift).add_(x)


def _damp(layer: nn.Conv2d, by: float = 0.1) -> nn.Conv2d:
    """Scale the start of a network's last layer, so that the linear path leads in the beginning."""
    with torch.no_grad():
        layer.weight.mul_(by)
        layer.bias.zero_()
    return layer


class PatchEncoder(nn.Module):
    """[N, C, H, W] -> [N, latent, H/16, W/16]: linear block transform plus network.

    ``basis`` [K, B, 16, 16] starts the linear path, which sees the last B of the C inputs and fills K latents.
    """

    stride = BLOCK

    def __init__(self, in_channels, width, latent, basis: Tensor, *, multirate: bool, roi: bool, blocks: int = 2):
        super().__init__()
        self.linear = nn.Conv2d(basis.shape[1], latent, BLOCK, stride=BLOCK, bias=False)
        self.embed = Pointwise(in_channels * 64, width)
        self.mask = Pointwise(64, width, bias=False) if roi else None
        self.body = Conditioned(
            [
                *(Block(width, multirate) for _ in range(blocks)),
                nn.Conv2d(width, 2 * width, 2, stride=2),
                Block(2 * width, multirate),
                _damp(Pointwise(2 * width, latent)),
            ]
        )
        with torch.no_grad():
            self.linear.weight.zero_()
            self.linear.weight[: len(basis)] = basis
            self.linear.weight.requires_grad_(False)  # as the gains: see pvc.models.branch.Gain
            if self.mask is not None:
                self.mask.weight.zero_()

    def forward(self, x: Tensor, q: Tensor | None = None, e: Tensor | None = None) -> Tensor:
        """``x`` [N, C, H, W], ``q`` [N, 1, H, W] -> latent [N, latent, H/16, W/16]."""
        h = self.embed(unshuffle(x, 8))
        if self.mask is not None:
            h = h + self.mask(unshuffle(q, 8))
        with torch.autocast(x.device.type, enabled=False):  # a picture needs more than the 8 bits of bfloat16
            linear = self.linear(x[:, -self.linear.in_channels :].float())
        return linear + self.body(h, e)


class PatchDecoder(nn.Module):
    """[N, latent, h, w] -> [N, out, 16 h, 16 w]: linear block transform plus network, which also sees ``context``.

    ``basis`` [K, out, s, s] starts the linear path from the first K latents; s = 16 for blocks, 32 for overlapping
    ones. With ``fold`` the first K fold^2 latents are those of the parts of a block, as ``F.pixel_unshuffle`` makes
    them of K planes, s is that of a part, no other latent takes the linear path, and the network sees of them what is
    :func:`relative`. ``context`` (the prediction, for the residual decoder) lets the network clean up what motion left
    behind.
    """

    def __init__(
        self, latent, width, out_channels, basis: Tensor, *, multirate: bool, context: int = 0, blocks=3, fold: int = 1
    ):
        super().__init__()
        self.fold, self.parts = fold, fold**2 * len(basis)
        planes = latent if fold == 1 else len(basis)
        self.linear = BlockSynthesis(planes, out_channels, basis.shape[-1], BLOCK // fold)
        self.context = Pointwise(context * 64, width) if context else None
        self.up = Conditioned(
            [
                Pointwise(latent, 2 * width),
                Block(2 * width, multirate),
                Pointwise(2 * width, 4 * width),
                Upsample(2),
            ]
        )
        self.body = Conditioned(
            [
                *(Block(width, multirate) for _ in range(blocks)),
                _damp(Pointwise(width, out_channels * 64)),
            ]
        )
        with torch.no_grad():
            self.linear.weight.mul_(0.01)
            self.linear.weight[: len(basis)] = basis

    def forward(self, y: Tensor, e: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """``y`` [N, latent, h, w], ``context`` [N, C, 16 h, 16 w] -> [N, out, 16 h, 16 w]."""
        h = self.up(y if self.fold == 1 else relative(y, self.fold), e)
        if self.context is not None:
            h = h + self.context(unshuffle(context, 8))
        linear = y if self.fold == 1 else F.pixel_shuffle(y[:, : self.parts], self.fold)
        return self.linear(linear) + shuffle(self.body(h, e), 8)


def relative(motion: Tensor, fold: int) -> Tensor:
    """``motion`` [N, M, h, w] without the mean of 5x5 blocks around, so that its size does not matter to a network.

    The first 2 fold^2 latents are a block's motion, x first, in ``fold``^2 parts; the others stay as they are. A pan
    that is faster than all that a network has been trained on is nothing new to it.
    """
    parts = fold**2
    mean = F.avg_pool2d(bordered(motion[:, : 2 * parts], 2), 5, 1)
    mean = mean.unflatten(1, (2, parts)).mean(2, keepdim=True).expand(-1, -1, parts, -1, -1).flatten(1, 2)
    return torch.cat((motion[:, : 2 * parts] - mean, motion[:, 2 * parts :]), dim=1)


def flow_encoder_basis(fold: int = 1) -> Tensor:
    """Mean of a two-component flow over each of fold^2 parts of a block, [2 fold^2, 2, 16, 16], in pixels, x first."""
    part = BLOCK // fold
    basis = torch.zeros(2, fold, fold, 2, BLOCK, BLOCK)
    for c, i, j in product(range(2), range(fold), range(fold)):
        basis[c, i, j, c, i * part : (i + 1) * part, j * part : (j + 1) * part] = 1 / part**2
    return basis.flatten(0, 2)


def flow_decoder_basis(block: int = BLOCK) -> Tensor:
    """Bilinear interpolation of block flows to pixels, [2, 3, 2 block, 2 block]; third output: the scale, zero."""
    tent = 1 - (torch.arange(2 * block) + 0.5 - block).abs() / block
    basis = torch.zeros(2, 3, 2 * block, 2 * block)
    basis[0, 0] = basis[1, 1] = torch.outer(tent, tent)
    return basis
