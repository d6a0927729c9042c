"""CPVC: a perceptual stream over a base codec's.

Source: Li, "Semantics-guided and saliency-focused learning of perceptual video compression", IEEE Access 2024,
section III. ``docs/cpvc.md`` says what the paper leaves open and what was chosen.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pvc.entropy import exact
from pvc.entropy.condition import Conditioned
from pvc.entropy.quantise import DeadZone
from pvc.errors import ConfigError
from pvc.models import patch
from pvc.models.cpvc_coding import CpvcCoding
from pvc.models.cpvc_fusion import UNet
from pvc.models.cpvc_kernels import KernelEstimator, State, adapt
from pvc.models.cpvc_prior import ParamNet
from pvc.models.cpvc_transforms import STRIDE, frame_decoder, frame_encoder
from pvc.models.padding import pad_to_multiple


@dataclass
class CpvcOutput:
    """A batch of clips after coding.

    ``y`` and ``x_hat`` [N, T, 3, H, W], the perceptual and the fused frames, not clamped; ``bits`` [N, T] of the neural
    stream; ``latents`` [N, T, C, h, w], f as the decoder has it, and ``symbols`` of the same shape, whole numbers.
    """

    y: Tensor
    x_hat: Tensor
    bits: Tensor
    latents: Tensor
    symbols: Tensor


class CPVC(CpvcCoding, nn.Module):
    """The networks of sections III-A to III-D; the defaults are the paper's.

    Args:
        channels: of the features f. width: of the first stage of the frame encoder and of the last of the decoder.
        resblocks: Resblocks behind each of their layers. param_blocks: those of Param-Net.
        adaptive_kernel: equation 3; without it f_t = Q(z_t), as in the first row of table 2.
        lstm, content, mlp: channels of T_t and S_t, and units of the MLP (:class:`KernelEstimator`).
        unet: channels of each level of the fusing U-Net.
        residual: encode the difference to the base frame in units of the base codec's quantiser step, add the decoded
            difference to the base frame to get y, and what the U-Net says to y. Models then ask for the QP.
        coarseness: that unit, in quantiser steps of the base codec (``residual`` only). The base codec already spent
            what pays at its own step; coarser symbols are fewer.
        unshuffle: side of the pixel blocks that the networks take as channels; with 2, features have 1/8 of the size.
        block_transform: channels of a fixed linear block transform beside the frame encoder, and of its inverse beside
            the decoder (``residual`` only); 0: none. The first ones of f start as these.
        rounding: 1/2: noise in training and plain rounding after it; less: a dead zone quantiser, in training too.
        deviation: standard deviation from which Param-Net starts.
        base, qps: codec of ``configs/codec``, and QPs, that the model is trained for; others are refused.
    """

    def __init__(
        self,
        *,
        channels: int = 128,
        width: int = 128,
        resblocks: int = 3,
        param_blocks: int = 5,
        adaptive_kernel: bool = True,
        lstm: int = 128,
        content: int = 64,
        mlp: int = 256,
        unet: Sequence[int] = (32, 64, 128, 192),
        residual: bool = False,
        coarseness: float = 1.0,
        unshuffle: int = 1,
        block_transform: int = 0,
        rounding: float = 0.5,
        deviation: float = 1.0,
        base: str = "vvenc-cpvc",
        qps: Sequence[int] = (29, 32, 35, 38),
    ):
        super().__init__()
        names = inspect.signature(CPVC).parameters
        self.config = {k: list(v) if k in ("unet", "qps") else v for k, v in locals().items() if k in names}
        self.base, self.qps = base, sorted(int(qp) for qp in qps)
        self.residual, self.coarseness, self.unshuffle = residual, coarseness, unshuffle
        self._check(channels, block_transform, rounding)
        pixels = 3 * unshuffle**2
        self.stride = STRIDE * unshuffle
        self.encoder = frame_encoder(pixels, width, channels, resblocks)
        self.base_encoder = frame_encoder(pixels + 1, width, channels, resblocks) if residual else None
        self.estimator = KernelEstimator(channels, lstm, content, mlp) if adaptive_kernel else None
        dead_zone = DeadZone(rounding) if rounding < 0.5 else None
        self.prior = ParamNet(channels, param_blocks, deviation, dead_zone)
        self.decoder = frame_decoder(channels, width, pixels, resblocks)
        self.unet = UNet(2 * pixels + residual, pixels, unet)
        self.transform = None
        self.multiple = max(self.stride, unshuffle * self.unet.multiple)
        if residual:
            self._start_small()
        if block_transform:
            basis = patch.image_basis(block_transform, block_transform // 6, self.stride).flatten(1)
            self.transform = nn.Parameter(basis, requires_grad=False)

    def _check(self, channels: int, block_transform: int, rounding: float) -> None:
        if not self.qps or len(set(self.qps)) < len(self.qps):
            raise ConfigError(
                f"model.qps={self.qps} must name the base codec's QPs, each once; [29,32,35,38] in the paper"
            )
        if not self.coarseness > 0:
            raise ConfigError(f"model.coarseness={self.coarseness:g} is out of range; give a number above 0")
        if not 0 < rounding <= 0.5:
            raise ConfigError(f"model.rounding={rounding:g} is out of range; give a number in (0, 0.5]")
        if block_transform and not self.residual:
            raise ConfigError(
                "model.block_transform is a transform of the difference to the base frame: set residual=true"
            )
        if not 0 <= block_transform <= min(channels, 3 * (STRIDE * self.unshuffle) ** 2):
            raise ConfigError(f"model.block_transform={block_transform} is out of range; give 0 to {channels}")

    def _start_small(self) -> None:
        """Last layers near zero: the codec starts as its base codec."""
        with torch.no_grad():
            last = [self.encoder[-1], self.decoder[-1], self.unet.last]
            last += [] if self.estimator is None else [self.estimator.mlp[-1]]
            for layer in last:
                layer = layer if hasattr(layer, "weight") else layer[-1]
                while isinstance(layer, exact.Residual):
                    layer = layer[-1]
                layer.weight.mul_(0.01)
                layer.bias.zero_()

    # -- pictures and units ------------------------------------------------------------------------------------------

    def step(self, qp: Tensor | None) -> Tensor | float:
        """The unit at ``qp`` [N] of the base codec, in units of the picture's range, [N, 1, 1, 1]; 1 without QP.

        Steps of H.264 and its successors double every six QP (VVC: 2^((QP - 4) / 6) of 255).
        """
        if not self.residual:
            return 1.0
        return self.coarseness * (2 ** ((qp.float() - 4) / 6) / 255)[:, None, None, None]

    def _picture(self, x: Tensor, qp: Tensor | None = None) -> Tensor:
        """``x`` [N, 3, H, W] in [0, 1] as networks take it: ±4 in steps of 1/32, so exact; a QP as one more plane."""
        x = (torch.round(x.float() * 255) - 128) / 32
        if self.unshuffle > 1:
            x = F.pixel_unshuffle(x, self.unshuffle)
        if qp is None:
            return x
        plane = ((qp.float() - 32) / 8)[:, None, None, None].expand(-1, 1, *x.shape[-2:])
        return torch.cat((x, plane), dim=1)

    def base_picture(self, base: Tensor, qp: Tensor | None) -> Tensor:
        """The base frame [N, 3, H, W] as networks take it."""
        return self._picture(base, qp if self.residual else None)

    @property
    def base_layers(self) -> Conditioned:
        """The network that makes the base frame's features."""
        return self.encoder if self.base_encoder is None else self.base_encoder

    def qp_of(self, qp: Tensor | None, n: int, device: torch.device) -> Tensor | None:
        """``qp`` [N], or the one that there is; None where the networks take none. Raises ``ConfigError``."""
        if not self.residual:
            return None
        if qp is None:
            if len(self.qps) > 1:
                raise ConfigError(f"this model serves base QPs {self.qps}; give the QP of each clip")
            qp = torch.tensor(self.qps)
        return qp.to(device).expand(n)

    def analyse(self, x: Tensor, base: Tensor, qp: Tensor | None) -> Tensor:
        """z [N, C, h, w], what the frame encoder gives for ``x`` and, with ``residual``, ``base`` [N, 3, H, W]."""
        if not self.residual:
            return self.encoder(self._picture(x)).float()
        difference = (x - base) / self.step(qp)
        u = self.unshuffle
        z = self.encoder(F.pixel_unshuffle(difference, u) if u > 1 else difference).float()
        if self.transform is None:
            return z
        with torch.autocast(x.device.type, enabled=False):
            linear = F.conv2d(F.pixel_unshuffle(difference.float(), self.stride), self.transform[:, :, None, None])
        return z + F.pad(linear, (0, 0, 0, 0, 0, z.shape[1] - linear.shape[1]))

    def synthesise(self, f: Tensor, base: Tensor, qp: Tensor | None) -> Tensor:
        """Perceptual frames y [N, 3, H, W] from decoded features [N, C, h, w]."""
        out = self.decoder(f).float()
        out = F.pixel_shuffle(out, self.unshuffle) if self.unshuffle > 1 else out
        if not self.residual:
            return out + 0.5
        if self.transform is not None:
            with torch.autocast(f.device.type, enabled=False):
                linear = F.conv2d(f[:, : len(self.transform)].float(), self.transform.T[:, :, None, None])
            out = out + F.pixel_shuffle(linear, self.stride)
        return base + self.step(qp) * out

    def fuse(self, y: Tensor, base: Tensor, qp: Tensor | None) -> Tensor:
        """x_hat [N, 3, H, W]: the U-Net's view of y and the base frame, added to the latter (``residual``: to y)."""
        step = self.step(qp)
        u = self.unshuffle
        other = (y - base) / step if self.residual else (y - 128 / 255) * (255 / 32)
        other = F.pixel_unshuffle(other, u) if u > 1 else other
        out = self.unet(torch.cat((self.base_picture(base, qp), other), dim=1)).float()
        out = F.pixel_shuffle(out, u) if u > 1 else out
        return (y if self.residual else base) + step * out

    def extract(self, z: Tensor, features: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        """Equation 3 without Q, and the state, which lacks its result. ``state`` None: a group of pictures starts."""
        if self.estimator is None:
            return z, None
        with torch.autocast(z.device.type, enabled=False):
            kernels, state = self.estimator(state or self.estimator.start(z), features)
            return adapt(z, kernels), state

    # -- clips with estimated rate (training) ------------------------------------------------------------------------

    def forward(self, frames: Tensor, base: Tensor, qp: Tensor | None = None) -> CpvcOutput:
        """Code clips, each one group of pictures.

        Args:
            frames, base: source and decoded base layer [N, T, 3, H, W] in [0, 1]; any H and W (padded inside).
            qp: of the base layer [N]; a model with ``residual`` needs it where it serves several.
        """
        n, t, _, h, w = frames.shape
        x, base = (pad_to_multiple(p, self.multiple).flatten(0, 1) for p in (frames, base))
        qp = self.qp_of(qp, n, frames.device)
        qp = None if qp is None else qp.repeat_interleave(t)
        z, features = self.analyse(x, base, qp), self.base_layers(self.base_picture(base, qp)).float()
        with torch.autocast(x.device.type, enabled=False):
            parameters = self.prior.predict(features).unflatten(0, (n, t))
        z, features, state, coded = z.unflatten(0, (n, t)), features.unflatten(0, (n, t)), None, []
        for i in range(t):
            f, state = self.extract(z[:, i], features[:, i], state)
            coded.append(self.prior(f, parameters[:, i]))
            state = state and replace(state, features=coded[-1][0])
        latents, symbols, bits = (torch.stack(part, dim=1) for part in zip(*coded))
        y = self.synthesise(latents.flatten(0, 1), base, qp)
        x_hat = self.fuse(y, base, qp)
        y, x_hat = (p.unflatten(0, (n, t))[..., :h, :w] for p in (y, x_hat))
        return CpvcOutput(y, x_hat, bits, latents, symbols)
