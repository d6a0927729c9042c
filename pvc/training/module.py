"""The LightningModule that trains SSF and all its variants."""

import json
from collections.abc import Callable, Sequence

import torch
from lightning import LightningModule
from PIL import Image
from torch import Tensor

from pvc.errors import ConfigError
from pvc.importance import u_from_alpha, weighted_mask
from pvc.losses.rate_distortion import RateDistortion, sample_beta, sample_u_alpha
from pvc.metrics.psnr import Psnr
from pvc.models.ssf import ScaleSpaceFlow
from pvc.training.guard import StepGuard
from pvc.training.pictures import draw


class CodecModule(LightningModule):
    """Trains a codec on clips with importance maps (Fathima et al., WACV 2023, sections 3.3 and 4.2).

    One pair (beta, u_alpha) is drawn for each clip of a batch; what is random in a step depends only on ``seed``, the
    step and the rank, so a resumed run continues exactly.

    Args:
        model: the codec. loss: :class:`RateDistortion`.
        optimizer: parameters -> optimiser. scheduler: optimiser -> learning rate schedule, stepped every step.
        gamma: skew of beta's distribution, u_beta ~ U(0, 1)^gamma.
        u_alpha: fixed value instead of U(0, 1), for a model of one distortion trade-off.
        whole_share: share of clips trained with u_alpha = 1, the codec without ROI.
        val_points: (beta, alpha) pairs at which validation clips are coded.
        max_skipped: non-finite steps in a row after which training stops.
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
        val_points: Sequence[tuple[float, float]] = (),
        max_skipped: int = 20,
        seed: int = 0,
    ):
        super().__init__()
        if not gamma > 0:
            raise ConfigError(f"training.gamma={gamma} is out of range; give a number above 0 (3 in the paper)")
        self.model, self.loss = model, loss
        self._optimizer, self._scheduler = optimizer, scheduler
        self.gamma, self.u_alpha, self.whole_share = gamma, u_alpha, whole_share
        self.val_points = [(float(b), float(a)) for b, a in val_points]
        self.guard, self.seed = StepGuard(max_skipped), seed

    def configure_optimizers(self):
        """Optimiser, and the schedule if there is one."""
        optimizer = self._optimizer(p for p in self.parameters() if p.requires_grad)
        if self._scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._scheduler(optimizer), "interval": "step"}}

    # -- training ----------------------------------------------------------------------------------------------------

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        """Make this step's randomness a function of seed, step and rank."""
        torch.manual_seed(hash((self.seed, self.global_step, self.global_rank)) % 2**63)

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        """Loss of a batch {"frames" uint8 [N, T, 3, H, W], "roi" [N, T, 1, H, W]}."""
        frames = batch["frames"].float() / 255
        n = len(frames)
        if self.model.multirate:
            beta = sample_beta(n, self.gamma).to(frames)
        else:
            beta = torch.full((n,), self.model.beta, device=frames.device)
        q = None
        if self.model.roi:
            u = sample_u_alpha(n) if self.u_alpha is None else torch.full((n,), float(self.u_alpha))
            u = torch.where(torch.rand(n) < self.whole_share, torch.ones(n), u).to(frames)
            q = weighted_mask(batch["roi"].to(frames), u.view(-1, 1, 1, 1, 1))
        coded = self.model(frames, beta, q)
        parts = self.loss(frames, coded.x_hat.float(), coded.bits, beta, q)
        pixels = frames.shape[-2] * frames.shape[-1]
        logs = {"loss": parts["loss"], "bpp": parts["bpp"], "psnr": -10 * torch.log10(parts["mse"])}
        logs |= {f"bpp_{k}": v.mean() / pixels for k, v in coded.parts.items()}
        self.log_dict({f"train/{k}": v.detach() for k, v in logs.items()}, on_step=True, on_epoch=False, batch_size=n)
        self.log_dict({k: logs[k].detach() for k in ("bpp", "psnr")}, prog_bar=True, logger=False, batch_size=n)
        return parts["loss"]

    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None) -> None:
        """Clip to norm ``gradient_clip_val``; a step whose gradient is not finite is skipped and counted."""
        norm = self.guard(optimizer, self.parameters(), gradient_clip_val, self.global_step)
        self.log_dict({"train/grad_norm": norm, "train/skipped": float(self.skipped)}, on_step=True, on_epoch=False)

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
        """Code a clip at every point of ``val_points``; log bpp and PSNR (whole, ROI, background) for each."""
        frames, mask = batch["frames"].float() / 255, batch["roi"].to(self.device)
        for beta, alpha in self.val_points:
            if not self.model.roi and alpha != 1:
                continue
            q = None if alpha == 1 else weighted_mask((mask >= 0.5).float(), u_from_alpha(alpha))
            rate = torch.full((1,), beta, device=self.device) if self.model.multirate else None
            coded = self.model(frames, rate, q)
            label = f"val/beta={beta:g}/alpha={alpha:g}"
            decoded = (coded.x_hat[0].float().clamp(0, 1) * 255).round().byte()
            values = Psnr()(batch["frames"][0], decoded, mask[0]).values
            values["bpp"] = float(coded.bits.mean()) / (frames.shape[-2] * frames.shape[-1])
            self.log_dict({f"{label}/{k}": v for k, v in values.items()}, batch_size=1, sync_dist=True)
