"""Scale-space flow and its multi-rate, multi-distortion extension MR-MD-SSF.

Sources: Agustsson et al., "Scale-space flow for end-to-end optimized video compression", CVPR 2020 (SSF); Fathima et
al., "A neural video codec with spatial rate-distortion control", WACV 2023, section 3.2 and figure 2 (MR-MD-SSF).
Differences from CompressAI's ``ssf2020``: flow and scale are in pixels and levels instead of normalised coordinates,
references are clamped to [0, 1], and the entropy coder's tables are chosen exactly (see ``pvc.entropy``).
"""

import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from pvc.entropy import step_map
from pvc.entropy.condition import beta_to_code, embed_beta
from pvc.entropy.hyperprior import Context, Hyperprior
from pvc.entropy.laplace import LaplaceConditional, LaplaceMixture
from pvc.entropy.quantise import DeadZone
from pvc.errors import ConfigError
from pvc.models import patch
from pvc.models.branch import Branch, Condition, conv_branch, patch_branch
from pvc.models.coding import FrameCoding, Past
from pvc.models.motion import motion_hints
from pvc.models.motion_search import MotionAim, MotionSearch
from pvc.models.padding import pad_to_multiple
from pvc.models.rdoq import LAGRANGE, ROUNDS, Aim, Search
from pvc.models.warp import half_pixels, scale_space, warp


@dataclass
class Coded:
    """A batch of clips after coding.

    ``x_hat`` [N, T, 3, H, W] (not clamped); ``bits`` [N, T] in all and ``parts`` by kind of information, each [N, T];
    ``flow`` [N, T - 1, 2, H, W] in pixels and ``prediction`` [N, T - 1, 3, H, W] of the P-frames.
    """

    x_hat: Tensor
    bits: Tensor
    parts: dict[str, Tensor]
    flow: Tensor | None
    prediction: Tensor | None


# References through which the gradient of a frame can reach those before it.
THROUGH = ("none", "inter", "all")

# How a latent passes from encoder to decoder:
# (branch name, branch, latent or None, condition, context or None, what it is for, Aim or MotionAim, or None)
# -> decoded latent, what was coded of it.
Channel = Callable[
    [str, Branch, Tensor | None, Condition, Context | None, Aim | MotionAim | None], tuple[Tensor, Tensor]
]


class ScaleSpaceFlow(FrameCoding, nn.Module):
    """SSF and, with ``multirate`` and ``roi``, MR-MD-SSF.

    Args:
        transform: ``conv``, the papers' 5x5 convolutions, or ``patch``, the tiny models' block transforms.
        width: channels inside the transforms. latent: channels of the intra and residual latents.
        motion_latent: channels of the motion latent (default: ``latent``). hyper: channels of z (patch only; the
            papers' network uses ``latent``).
        multirate: condition on beta (MR). roi: importance map as encoder input (MD).
        beta: rate parameter of a single-rate model; for a multi-rate model, that of the model it starts from.
        levels, sigma0: scale space. motion_hint: give the motion encoder a classical flow estimate (patch only).
        gain_slope: start of a multi-rate model's gains over beta (patch only); 0 keeps the single-rate ones.
        temporal_context: the entropy model sees what was coded of the frame before (patch only).
        step_map: the decoder is told how coarsely each block is quantised (patch and roi only; ours).
        spatial_prediction: a block's motion, and its mean colour in I-frames, are coded as differences from those of
            the blocks around (patch only; :mod:`pvc.entropy.spatial`).
        fine_motion: a motion for each 8x8 pixels instead of 16x16, in finer steps, and references interpolated by eight
            pixels half way between two (patch and spatial_prediction only; motion_latent >= 8).
        heavy_tails: the density of motion's symbols has heavier tails than Laplace's
            (:class:`pvc.entropy.laplace.LaplaceMixture`; patch only).
    """

    def __init__(
        self,
        *,
        transform: str = "conv",
        width: int = 128,
        latent: int = 192,
        motion_latent: int | None = None,
        hyper: int = 48,
        multirate: bool = False,
        roi: bool = False,
        beta: float = 1e-4,
        levels: int = 5,
        sigma0: float = 1.5,
        motion_hint: bool = False,
        gain_slope: float = 0.0,
        temporal_context: bool = False,
        step_map: bool = False,
        spatial_prediction: bool = False,
        fine_motion: bool = False,
        heavy_tails: bool = False,
    ):
        super().__init__()
        names = inspect.signature(ScaleSpaceFlow).parameters
        self.config = {k: v for k, v in locals().items() if k in names}
        # models from before there was one keep their fingerprints
        for newer in ("step_map", "spatial_prediction", "fine_motion", "heavy_tails"):
            if not self.config[newer]:
                del self.config[newer]
        beta_to_code(beta)  # raises outside the range
        self.multirate, self.roi, self.beta = multirate, roi, beta
        self.levels, self.sigma0, self.motion_hint = levels, sigma0, motion_hint
        self.temporal_context, self.step_map, self.fine_motion = temporal_context, step_map, fine_motion
        if step_map and not (roi and transform == "patch"):
            raise ConfigError("step_map needs roi=true and transform=patch")
        motion_latent = motion_latent or latent
        if fine_motion and not (spatial_prediction and transform == "patch" and motion_latent >= 8):
            raise ConfigError("fine_motion needs transform=patch, spatial_prediction=true, motion_latent of 8 or more")
        common = {"width": width, "multirate": multirate, "roi": roi}
        if transform == "conv":
            if motion_hint or temporal_context or spatial_prediction or heavy_tails:
                raise ConfigError(
                    "motion_hint, temporal_context, spatial_prediction and heavy_tails need transform=patch"
                )
            make = partial(conv_branch, **common)
            self.intra = make(3, 3, latent=latent)
            self.motion = make(6, 3, latent=motion_latent)
            self.residual = make(3, 3, latent=latent, extra_latent=motion_latent)
            self.multiple, self.offset = 128, 0.0
        elif transform == "patch":
            self._build_patch(
                partial(patch_branch, **common, beta=beta, hyper=hyper),
                latent,
                motion_latent,
                gain_slope,
                spatial_prediction,
                LaplaceMixture if heavy_tails else LaplaceConditional,
            )
            self.multiple, self.offset = 32, 0.5  # the block transform's lowest coefficients are centred on grey
        else:
            raise ConfigError(f"transform={transform} is not known; give conv or patch")

    def _build_patch(
        self,
        make: Callable[..., Branch],
        latent: int,
        motion_latent: int,
        slope: float,
        spatial_prediction: bool,
        of_motion: type[LaplaceConditional],
    ) -> None:
        chroma = latent // 8
        basis = patch.image_basis(latent, chroma)
        # The step that H.264 encoders use at this trade-off: lambda = 0.134 step^2, and lambda = 3 beta here.
        gain = torch.full((latent,), (3 * self.beta / 0.134) ** -0.5)
        image = {"latent": latent, "encoder_basis": basis, "decoder_basis": basis, "slope": slope}
        self.intra = make(
            3,
            3,
            **image,
            gain=1.25 * gain,  # a better first frame serves the whole group of pictures
            deviation=patch.image_deviation(latent, chroma, 3.0),
            dead_zone=DeadZone(1 / 3),
            neighbours=(0, latent - 2 * chroma, latent - chroma) if spatial_prediction else (),
        )
        self.residual = make(
            3,
            3,
            **image,
            gain=gain,
            deviation=patch.image_deviation(latent, chroma, 0.2),
            dead_zone=DeadZone(1 / 6),
            extra_latent=motion_latent,
            context=3,
            symbol_context=self.temporal_context * (2 * latent + motion_latent),
        )
        fold = 2 if self.fine_motion else 1
        means = 2 * fold**2
        averages = patch.flow_encoder_basis(fold)
        self.motion = make(
            6 + 2 * self.motion_hint,
            3,
            latent=motion_latent,
            encoder_basis=averages if self.motion_hint else averages[:0, :1],
            decoder_basis=patch.flow_decoder_basis(patch.BLOCK // fold),
            deviation=torch.cat((torch.full((means,), 1 / fold**3), torch.full((motion_latent - means,), 0.1))),
            gain=torch.full((motion_latent,), 4.0 if self.fine_motion else 2.5),  # steps of 0.25 or 0.4 pixels
            slope=slope / 2,
            dead_zone=DeadZone(0.25),
            symbol_context=self.temporal_context * motion_latent,
            latent_context=self.temporal_context,
            neighbours=tuple(range(means)) if spatial_prediction else (),
            fold=fold,
            factors=step_map.ROOTS if self.fine_motion else step_map.FACTORS,
            density=of_motion,
        )

    # -- one frame, the same code for training, encoding and decoding ------------------------------------------------

    def predict(self, reference: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction [N, 3, H, W] and flow [N, 2, H, W] from the decoded motion [N, 3, H, W] (flow x, y and scale)."""
        with torch.autocast(reference.device.type, enabled=False):
            flow, scale = motion.float().split((2, 1), dim=1)
            levels = self.levels
            if scale.device.type == "cpu" and not torch.is_grad_enabled():  # no pixel looks at higher ones
                highest = scale.max().item()
                levels = min(levels, max(0, math.ceil(highest))) if math.isfinite(highest) else levels
            volume = scale_space(reference.float(), levels, self.sigma0)
            return warp([self.magnified(volume[0]), *volume[1:]], flow, scale), flow

    def magnified(self, reference: Tensor) -> Tensor:
        """``reference`` [N, C, H, W] as it is interpolated between pixels: itself, or twice the size."""
        return half_pixels(reference) if self.fine_motion else reference

    def code_intra(self, x: Tensor | None, condition: Condition, channel: Channel) -> tuple[Tensor, Past]:
        """I-frame ``x`` [N, 3, H, W] (None when decoding) -> reconstruction [N, 3, H, W], not clamped, and the past."""

        def decode(y_hat: Tensor) -> Tensor:
            return self.intra.decoder(self.intra.scale_back(y_hat, condition), condition.e).float() + self.offset

        y = None if x is None else self.intra.encode(x - self.offset, condition)
        y_hat, symbols = channel("intra", self.intra, y, condition, None, None if x is None else Aim(x, decode))
        out = decode(y_hat)
        return out, Past(out.clamp(0, 1), {"intra": symbols} | condition.told)

    def code_inter(
        self, x: Tensor | None, past: Past, hint: Tensor | None, condition: Condition, channel: Channel
    ) -> tuple[Tensor, Past, Tensor, Tensor]:
        """P-frame ``x`` [N, 3, H, W] (None when decoding).

        Returns reconstruction (not clamped), the past for the next frame, prediction and flow.
        """
        y, reference = None, past.reference
        if x is not None:
            inputs = (x, reference) if hint is None else (x, reference, hint)
            y = self.motion.encode(torch.cat(inputs, dim=1), condition)
        context = self._motion_context(past, condition) if self.temporal_context else None

        def move(y_hat: Tensor) -> Tensor:
            return self.motion.decoder(self.motion.scale_back(y_hat, condition), condition.e)

        aim = None if x is None else MotionAim(x, reference, move, self.predict, self.magnified, past.motion)
        motion_hat, motion_symbols = channel("motion", self.motion, y, condition, context, aim)
        motion_hat = self.motion.scale_back(motion_hat, condition)
        prediction, flow = self.predict(reference, self.motion.decoder(motion_hat, condition.e))
        y = None if x is None else self.residual.encode(x - prediction, condition)
        context = self._residual_context(past.symbols, motion_symbols) if self.temporal_context else None
        also = {"context": prediction} if getattr(self.residual.decoder, "context", None) is not None else {}

        seen = patch.relative(motion_hat, self.motion.prior.fold) if self.fine_motion else motion_hat

        def decode(y_hat: Tensor) -> Tensor:
            y_hat = torch.cat((self.residual.scale_back(y_hat, condition), seen), dim=1)
            return prediction + self.residual.decoder(y_hat, condition.e, **also).float()

        aim = None if x is None else Aim(x, decode)
        y_hat, symbols = channel("residual", self.residual, y, condition, context, aim)
        out = decode(y_hat)
        symbols = {"motion": motion_symbols, "residual": symbols} | condition.told
        past = Past(out.clamp(0, 1), symbols, motion_hat)
        return out, past, prediction, flow

    def _motion_context(self, past: Past, condition: Condition) -> Context:
        """The motion of the frame before; zeros after an I-frame."""
        if past.motion is None:
            n, _, h, w = past.symbols["intra"].shape
            zeros = past.reference.new_zeros(n, self.motion.prior.latent, h, w)
            return Context(zeros, zeros)
        return Context(past.symbols["motion"].detach(), past.motion * self.motion.gain(condition.e))

    def _residual_context(self, before: Mapping[str, Tensor], motion_symbols: Tensor) -> Context:
        """What was coded in the frame before, an I-frame or a P-frame, and of this one's motion."""
        symbols = [before.get(k) for k in ("intra", "residual")]
        zeros = torch.zeros_like(next(s for s in symbols if s is not None))
        parts = [zeros if s is None else s for s in symbols]
        return Context(torch.cat((*parts, motion_symbols), dim=1).detach())

    # -- clips with estimated rate (training) ------------------------------------------------------------------------

    def forward(
        self,
        frames: Tensor,
        beta: Tensor | None = None,
        q: Tensor | None = None,
        hints: Tensor | None = None,
        *,
        lead: int = 0,
        through: str = "inter",
        motion_search: bool = False,
        symbol_search: bool = False,
    ) -> Coded:
        """Code clips, the first frame as I-frame and the others as P-frames.

        Args:
            frames: [N, T, 3, H, W] in [0, 1]; any H and W (padded by replication inside).
            beta: [N], for multi-rate models.
            q: importance [N, T, 1, H, W]; None is 1 everywhere.
            hints: what ``motion_hints`` makes of the padded frames; None computes them, for which a GPU waits.
            lead: P-frames after the I-frame that are coded without gradient and left out of what is returned, so that
                the others lie later in their group of pictures.
            through: references through which the gradient of a frame reaches those before it: ``none``, ``inter``
                (P-frames, as in SSF), or ``all``, the I-frame too.
            motion_search: code the motion that an encoder finds (:mod:`pvc.models.motion_search`).
            symbol_search: code the symbols that an encoder finds (:mod:`pvc.models.rdoq`).
        """
        if motion_search and not self.motion_searchable:
            raise ConfigError("motion_search needs a model with spatial_prediction; give motion_search=false")
        if symbol_search and not self.searchable:
            raise ConfigError("symbol_search needs a model with transform=patch; give symbol_search=false")
        n, t, _, h, w = frames.shape
        frames = self.pad(frames)
        parts: dict[str, list[Tensor]] = {k: [] for k in ("intra", "motion", "residual")}

        def estimate(name: str, branch: Branch, y: Tensor, condition: Condition, context: Context | None, aim):
            choose = None
            rate = torch.full((n,), self.beta, device=y.device) if beta is None else beta.expand(n)
            if motion_search and isinstance(aim, MotionAim):
                choose = MotionSearch(branch, condition, aim, 3 * rate, nullcontext)
            elif symbol_search and isinstance(aim, Aim):
                choose = Search(branch, condition, aim, 3 * rate.to(y) * LAGRANGE[name], ROUNDS, nullcontext)
            with torch.autocast(y.device.type, enabled=False):
                y_hat, symbols, bits = branch.prior(y.float(), condition.coarse, condition.e, context, choose)
            parts[name].append(bits)
            return y_hat, symbols

        if self.motion_hint and hints is None:
            hints = motion_hints(frames)
        e = self.embed(beta, n, frames.device)
        q = self.importance(q, frames)
        condition = self._steered(e, None if q is None else q[:, 0])
        maps = [] if condition.coarse is None else [step_map.bits(condition.coarse, None)]
        out, past = self.code_intra(frames[:, 0], condition, estimate)
        if through != "all" or lead:
            past.cut()
        x_hat, predictions, flows = [out], [], []
        for i in range(1, t):
            condition = self._steered(e, None if q is None else q[:, i])
            hint = None if hints is None else hints[:, i - 1]
            if i <= lead:
                with torch.no_grad():
                    past = self.code_inter(frames[:, i], past, hint, condition, estimate)[1]
                parts["motion"].clear(), parts["residual"].clear()
                continue
            if maps:
                maps.append(step_map.bits(condition.coarse, past.symbols["map"]))
            out, past, prediction, flow = self.code_inter(frames[:, i], past, hint, condition, estimate)
            if through == "none":
                past.cut()
            x_hat.append(out)
            predictions.append(prediction)
            flows.append(flow)
        t, zero = len(x_hat), torch.zeros(n, 1, device=frames.device)
        bits = {k: torch.stack(v, 1) if v else zero.expand(n, t - 1) for k, v in parts.items()}
        bits = {k: torch.cat((v, zero.expand(n, t - 1)) if k == "intra" else (zero, v), dim=1) for k, v in bits.items()}
        if maps:
            bits["map"] = torch.stack(maps, 1)

        def crop(xs: list[Tensor]) -> Tensor | None:
            return torch.stack(xs, 1)[..., :h, :w] if xs else None

        return Coded(crop(x_hat), sum(bits.values()), bits, crop(flows), crop(predictions))

    def update(self) -> None:
        """Compute the entropy coder's tables; call once after training, before coding."""
        for module in self.modules():
            if isinstance(module, Hyperprior):
                module.update()

    def embed(self, beta: Tensor | None, n: int, device: torch.device) -> Tensor | None:
        """Beta embedding [N, 4], or None for a single-rate model."""
        if not self.multirate:
            return None
        if beta is None:
            raise ConfigError("a multi-rate model needs beta; give one value in [1e-4, 1.28e-2] for each clip")
        return embed_beta(beta.to(device).expand(n))

    def importance(self, q: Tensor | None, frames: Tensor) -> Tensor | None:
        """``q`` padded like ``frames`` [N, T, 3, H, W]; ones where none was given; None for a model without ROI."""
        if not self.roi:
            return None
        return torch.ones_like(frames[:, :, :1]) if q is None else self.pad(q)

    def _condition(self, beta: float, q: Tensor | None, device: torch.device) -> Condition:
        e = self.embed(torch.tensor([beta], dtype=torch.float64), 1, torch.device("cpu"))  # the same bits everywhere
        return self._steered(e if e is None else e.to(device, non_blocking=True), q if self.roi else None)

    def _steered(self, e: Tensor | None, q: Tensor | None) -> Condition:
        told = self.step_map and q is not None
        return Condition(e, q, step_map.of_importance(q, self.intra.encoder.stride) if told else None)

    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def pad(self, x: Tensor) -> Tensor:
        """Pad [..., C, H, W] on the right and below, by replication, to a multiple of ``self.multiple``."""
        return pad_to_multiple(x, self.multiple)
