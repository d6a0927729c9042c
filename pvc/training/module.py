"""The LightningModule that trains SSF and all its variants."""

import json
import random
from collections.abc import Callable, Sequence

import torch
from lightning import LightningModule
from PIL import Image
from torch import Tensor

from pvc.entropy.noise import by_sample, uniform
from pvc.errors import ConfigError
from pvc.importance import u_from_alpha, weighted_mask
from pvc.losses.rate_distortion import RateDistortion, sample_beta
from pvc.metrics.psnr import Psnr
from pvc.models.motion import motion_hints
from pvc.models.ssf import THROUGH, ScaleSpaceFlow
from pvc.training.guard import StepGuard
from pvc.training.means import Means, over_processes
from pvc.training.pictures import draw
from pvc.training.speed import check, compiled


class CodecModule(LightningModule):
    """Trains a codec on clips with importance maps (Fathima et al., WACV 2023, sections 3.3 and 4.2).

    One pair (beta, u_alpha) is drawn for each clip of a batch. What is random depends only on ``seed`` and the clip's
    number (:mod:`pvc.entropy.noise`), so a resumed run continues exactly, and several devices draw what one would.

    Args:
        model: the codec. loss: :class:`RateDistortion`.
        optimizer: parameters -> optimiser. scheduler: optimiser -> learning rate schedule, stepped every step.
        gamma: skew of beta's distribution, u_beta ~ U(0, 1)^gamma.
        u_alpha: fixed value instead of U(0, 1), for a model of one distortion trade-off.
        whole_share: share of clips trained with u_alpha = 1, the codec without ROI.
        lead: P-frames, at most, between the I-frame and the others of a sample that are coded without gradient and
            without counting; how many is drawn for each step, so that the others lie anywhere in a group of pictures.
        through: references through which the gradient passes, see :meth:`ScaleSpaceFlow.forward`.
        motion_search: code the motion that an encoder finds, see :meth:`ScaleSpaceFlow.forward`.
        symbol_search: fit to the symbols that an encoder finds what tells their spread; all else stays as it is.
        val_points: (beta, alpha) pairs at which validation clips are coded.
        max_skipped: non-finite steps in a row after which training stops.
        compile: how the model is compiled for training, see :mod:`pvc.training.speed`.
        seed: of beta, u_alpha and the quantisation noise.
    """

    def __init__(
        self,
        model: ScaleSpaceFlow,
        loss: RateDistortion,
        optimizer: Callable,
        scheduler: Callable | None = None,
        *,
        gamma: float = 3.0,
        u_alpha: float | None = None,
        whole_share: float = 0.0,
        lead: int = 0,
        through: str = "inter",
        motion_search: bool = False,
        symbol_search: bool = False,
        val_points: Sequence[tuple[float, float]] = (),
        max_skipped: int = 20,
        compile: bool | str = False,
        seed: int = 0,
    ):
        super().__init__()
        if not gamma > 0:
            raise ConfigError(f"training.gamma={gamma} is out of range; give a number above 0 (3 in the paper)")
        check(compile)
        self.model, self.loss, self.compile_way = model, loss, compile
        self._code: Callable | None = None
        self._optimizer, self._scheduler = optimizer, scheduler
        self.gamma, self.u_alpha, self.whole_share = gamma, u_alpha, whole_share
        if lead < 0 or through not in THROUGH:
            raise ConfigError(
                f"training.lead={lead}, training.through={through}: give 0 or more, and one of {', '.join(THROUGH)}"
            )
        if motion_search and not model.motion_searchable:
            raise ConfigError(
                "training.motion_search needs a model with spatial_prediction; give training.motion_search=false"
            )
        if symbol_search and not model.searchable:
            raise ConfigError(
                "training.symbol_search needs a model with transform=patch; give training.symbol_search=false"
            )
        self.lead, self.through = lead, through
        self.searches = {"motion_search": motion_search, "symbol_search": symbol_search}
        self._resting: list[torch.nn.Parameter] = []
        if symbol_search:  # gradients of other parts through searched symbols lead astray
            fitted = {id(p) for b in (model.intra, model.motion, model.residual) for p in b.prior.scale_parameters()}
            self._resting = [p for p in model.parameters() if p.requires_grad and id(p) not in fitted]
            for p in self._resting:
                p.requires_grad_(False)
        self.val_points = [(float(b), float(a)) for b, a in val_points]
        self.guard, self.seed, self.means = StepGuard(max_skipped), seed, Means()

    def configure_optimizers(self):
        """Optimiser, and the schedule if there is one."""
        optimizer = self._optimizer(p for p in self.parameters() if p.requires_grad)
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._scheduler(optimizer), "interval": "step"}}

    # -- training ----------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Fit the guard to the trainer; compile."""
        self.guard.prepare(self.trainer)
        self._code = compiled(self.model.forward, self.compile_way)

    def on_train_end(self) -> None:
        """Do not end well where the last steps went wrong."""
        for p in self._resting:
            p.requires_grad_(True)
        self.guard.check(self.global_step)

    def on_before_batch_transfer(self, batch: dict, dataloader_idx: int) -> dict:
        """Estimate motion before the frames go to a GPU, which is then not waited for."""
        if self.trainer.training and self.model.motion_hint:
            hints = motion_hints(self.model.pad(batch["frames"].float() / 255))
            batch = {**batch, "hints": hints.pin_memory() if self.device.type == "cuda" else hints}
        return batch

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        """Make what draws from torch's own generator a function of seed, step and rank."""
        torch.manual_seed(hash((self.seed, self.global_step, self.global_rank)) % 2**63)

    @by_sample
    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        """Loss of a batch {"frames" uint8 [N, T, 3, H, W], "roi" [N, T, 1, H, W], "index" int64 [N]}."""
        frames = batch["frames"].float() / 255
        n = len(frames)
        if self.model.multirate:
            beta = sample_beta(uniform((n,), frames.device), self.gamma)
        else:
            beta = torch.full((n,), self.model.beta, device=frames.device)
        q = None
        if self.model.roi:
            u, whole = uniform((n,), frames.device), uniform((n,), frames.device) < self.whole_share
            if self.u_alpha is not None:
                u = torch.full_like(u, self.u_alpha)
            u = torch.where(whole, 1.0, u)
            q = weighted_mask(batch["roi"].to(frames), u.view(-1, 1, 1, 1, 1))
        lead, end = self._lead(frames.shape[1])
        frames, q, hints = frames[:, :end], q if q is None else q[:, :end], batch.get("hints")
        hints = None if hints is None else hints[:, : end - 1]
        how = {"lead": lead, "through": self.through, **self.searches}
        coded = (self._code or self.model)(frames, beta, q, hints, **how)
        if lead:
            frames, q = (v if v is None else torch.cat((v[:, :1], v[:, lead + 1 :]), 1) for v in (frames, q))
        parts = self.loss(frames, coded.x_hat.float(), coded.bits, beta, q)
        pixels = frames.shape[-2] * frames.shape[-1]
        logs = {"loss": parts["loss"], "bpp": parts["bpp"], "psnr": -10 * torch.log10(parts["mse"])}
        logs |= {f"bpp_{k}": v.mean() / pixels for k, v in coded.parts.items()}
        logs = over_processes(self, logs, self.global_step + 1)
        self.log_dict({f"train/{k}": v for k, v in logs.items()}, on_step=True, on_epoch=False, batch_size=n)
        return parts["loss"]

    def _lead(self, t: int) -> tuple[int, int]:
        """How many P-frames lead in this step, and how many frames of ``t`` are coded in all: the same for all devices.

        Raises:
            ConfigError: samples have no frame after those that lead.
        """
        if t < self.lead + 2 and self.lead:
            raise ConfigError(
                f"training.lead={self.lead} needs samples of {self.lead + 2} frames or more, not {t}; give data.frames"
            )
        lead = random.Random(f"{self.seed} {self.global_step}").randint(0, self.lead)
        return lead, t - self.lead + lead

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        """Clip to norm ``gradient_clip_val``; a step whose gradient is not finite is skipped and counted."""
        norm = self.guard(optimizer, self.parameters(), gradient_clip_val, self.global_step)
        self.log_dict({"train/grad_norm": norm, "train/skipped": self.guard.counted}, on_step=True, on_epoch=False)

    @property
    def skipped(self) -> int:
        """Steps whose gradient was not finite so far."""
        return self.guard.skipped

    def draw(self, batch: dict) -> Image.Image:
        """A picture of what the codec does to the first clip of a batch."""
        return draw(self.model, batch["frames"][:1], batch["roi"][:1])

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Keep the count of skipped steps, and the architecture."""
        checkpoint["pvc"] = {"skipped": self.skipped, "config": json.dumps(self.model.config)}

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse the checkpoint of another architecture before its weights are loaded."""
        config = json.loads(checkpoint.get("pvc", {}).get("config", "null"))
        if config != json.loads(json.dumps(self.model.config)):
            raise ConfigError(
                f"the checkpoint to resume from is of another architecture ({config}); "
                f"this run builds {self.model.config}"
            )
        self.guard.skipped = checkpoint["pvc"]["skipped"]

    # -- validation --------------------------------------------------------------------------------------------------

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        """Code a clip at every point of ``val_points``; note bpp and PSNR (whole, ROI, background) for each."""
        if not all(batch["counted"]):
            return
        frames, mask = batch["frames"].float() / 255, batch["roi"].to(self.device)
        for beta, alpha in self.val_points:
            if not self.model.roi and alpha != 1:
                continue
            q = None if alpha == 1 else weighted_mask((mask >= 0.5).float(), u_from_alpha(alpha))
            rate = torch.full((1,), beta, device=self.device) if self.model.multirate else None
            coded = self.model(frames, rate, q, **self.searches)
            label = f"val/beta={beta:g}/alpha={alpha:g}"
            decoded = (coded.x_hat[0].float().clamp(0, 1) * 255).round().byte()
            values = Psnr()(batch["frames"][0].cpu(), decoded.cpu(), mask[0].cpu()).values
            values["bpp"] = float(coded.bits.mean()) / (frames.shape[-2] * frames.shape[-1])
            self.means.add({f"{label}/{k}": v for k, v in values.items()})

    def on_validation_epoch_start(self) -> None:
        """Begin anew."""
        self.means.clear()

    def on_validation_epoch_end(self) -> None:
        """Log the means over the clips of all processes."""
        self.log_dict(self.means.gather(self.trainer), sync_dist=True)
