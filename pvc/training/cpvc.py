"""The LightningModule that trains CPVC and its discriminator."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace

import torch
from lightning import LightningModule
from PIL import Image
from torch import Tensor
from torch.nn import Parameter

from pvc.entropy.noise import by_sample
from pvc.errors import ConfigError
from pvc.float32 import full_float32
from pvc.losses.cpvc import CpvcLoss
from pvc.metrics.features import FeatureDistance
from pvc.metrics.psnr import Psnr
from pvc.models.cpvc import CPVC
from pvc.training.guard import StepGuard
from pvc.training.means import Means, over_processes
from pvc.training.pictures import sheet
from pvc.training.speed import check, compiled

log = logging.getLogger(__name__)


class CpvcModule(LightningModule):
    """Trains CPVC on clips with their base layer (Li, IEEE Access 2024, sections III.E and IV.B).

    Where the adversarial loss is on there are two optimisers: that of the codec (and of the contrastive loss's network
    F), which steps first, and that of the discriminator, which steps on the same frames. What is random depends only on
    ``seed`` and the clip's number (:mod:`pvc.entropy.noise`), so a resumed run continues exactly, and several devices
    draw what one would.

    Args:
        model: the codec. loss: :class:`CpvcLoss`.
        optimizer: parameters -> optimiser of the codec. scheduler: optimiser -> learning rate schedule, stepped every
            step.
        discriminator_optimizer: parameters -> optimiser of the discriminator.
        clip: largest norm of the codec's gradient and of the discriminator's, > 0; None: no clipping.
        val_backbone: network of the feature distance that validation logs; left out where its weights are not there.
        max_skipped: non-finite steps in a row after which training stops.
        compile: how the model is compiled for training, see :mod:`pvc.training.speed`.
        seed: of the quantisation noise and the contrastive loss's places.
    """

    automatic_optimization = False

    def __init__(
        self,
        model: CPVC,
        loss: CpvcLoss,
        optimizer: Callable,
        scheduler: Callable | None = None,
        discriminator_optimizer: Callable | None = None,
        *,
        clip: float | None = 1.0,
        val_backbone: str = "squeezenet11",
        max_skipped: int = 20,
        compile: bool | str = False,
        seed: int = 0,
    ):
        super().__init__()
        if clip is not None and not clip > 0:
            raise ConfigError(f"training.clip={clip} must be above 0, or null for no clipping")
        if lost := [qp for qp in model.qps if qp not in loss.lambdas]:
            raise ConfigError(f"loss.lambdas has no value for qp {lost}, which model.qps names")
        if loss.adversarial is not None and discriminator_optimizer is None:
            raise ConfigError("loss.weights.adversarial is above 0; give training.discriminator_optimizer")
        check(compile)
        self.model, self.loss, self.compile_way = model, loss, compile
        self._code: Callable | None = None
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        self._make_discriminator_optimizer = discriminator_optimizer
        self.clip, self.seed = clip, seed
        self.guard, self.discriminator_guard = StepGuard(max_skipped), StepGuard(max_skipped)
        self.means = Means()
        self._distance = FeatureDistance(val_backbone)
        if reason := self._distance.missing():
            log.warning("validation goes without feature distance: %s", reason)
        self._of_base: dict[tuple[str, int], dict[str, float]] = {}

    def setup(self, stage: str) -> None:
        """Refuse data of another base codec or other QPs than those that the released model will name.

        Raises:
            ConfigError: they differ, or several processes would wait for gradients that one optimiser has none of.
        """
        unused = getattr(self.trainer.strategy, "_ddp_kwargs", {}).get("find_unused_parameters")
        if self.trainer.world_size > 1 and self.loss.adversarial is not None and not unused:
            raise ConfigError(
                "the discriminator's steps on several devices need trainer.strategy=ddp_find_unused_parameters_true"
            )
        data = self.trainer.datamodule
        if data.base != self.model.base or sorted(data.qp) != self.model.qps:
            raise ConfigError(
                f"data.base={data.base}, data.qp={data.qp} is not what the model is for ({self.model.base}, "
                f"{self.model.qps}); set model.base and model.qps, which the data follow"
            )

    def configure_optimizers(self):
        """One optimiser, or two; the schedule is the codec's."""
        optimizers = [self._make_optimizer(self.codec_parameters())]
        if self.loss.adversarial is not None:
            optimizers.append(self._make_discriminator_optimizer(self.loss.adversarial.parameters()))
        return optimizers, [] if self._make_scheduler is None else [self._make_scheduler(optimizers[0])]

    def codec_parameters(self) -> list[Parameter]:
        """All that the codec's optimiser trains: the codec and F."""
        others = {id(p) for p in self.loss.adversarial.parameters()} if self.loss.adversarial is not None else ()
        return [p for p in self.parameters() if p.requires_grad and id(p) not in others]

    # -- training ----------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Fit the guards to the trainer; compile.

        Raises:
            ConfigError: float16, whose scaled gradients neither the guards nor the discriminator's step know.
        """
        if getattr(self.trainer.precision_plugin, "scaler", None):
            raise ConfigError(f"trainer.precision={self.trainer.precision} is not for CPVC; give bf16-mixed or 32-true")
        for guard in (self.guard, self.discriminator_guard):
            guard.prepare(self.trainer)
        self._code = compiled(self.model.forward, self.compile_way)

    def on_train_end(self) -> None:
        """Do not end well where the last steps went wrong."""
        for guard in (self.guard, self.discriminator_guard):
            guard.check(self.global_step)

    def on_before_batch_transfer(self, batch: dict, dataloader_idx: int) -> dict:
        """Note the QPs as numbers before they go to a GPU, which would have to be waited for."""
        return {**batch, "qps": batch["qp"].tolist()} if isinstance(batch["qp"], Tensor) else batch

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        """Make what draws from torch's own generator a function of seed, step and rank."""
        torch.manual_seed(hash((self.seed, self.global_step, self.global_rank)) % 2**63)

    @by_sample
    def training_step(self, batch: dict, batch_idx: int) -> None:
        """A step of the codec, and one of the discriminator, on a batch of ``BaseLayerDataModule``."""
        frames, base = batch["frames"].float() / 255, batch["base"].float() / 255
        if self.loss.adversarial is not None:  # it only judges here: no gradient of its own
            self.loss.adversarial.requires_grad_(False)
        coded = (self._code or self.model)(frames, base, batch["qp"])
        x_hat = coded.x_hat.float()
        parts = self.loss(frames, coded.y.float(), x_hat, coded.bits, batch["saliency"], batch["qps"])
        optimizer = self._first_optimizer()
        optimizer.zero_grad()
        self.manual_backward(parts["loss"])
        norm = self.guard(optimizer, self.codec_parameters(), self.clip, self.global_step)
        optimizer.step()
        if (scheduler := self.lr_schedulers()) is not None:
            scheduler.step()
        logs = dict(parts)
        if self.loss.adversarial is not None:
            logs["discriminator"] = self._discriminator_step(frames.flatten(0, 1), x_hat.flatten(0, 1))
        n = len(frames)
        logs = over_processes(self, logs, self.global_step) | {"grad_norm": norm, "skipped": self.guard.counted}
        logs = {f"train/{k}": v for k, v in logs.items()}
        self.log_dict(logs, on_step=True, on_epoch=False, batch_size=n)

    def _first_optimizer(self):
        found = self.optimizers()
        return found[0] if isinstance(found, list) else found

    def _discriminator_step(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """One step of the discriminator on frames ``[N, 3, H, W]``; its loss.

        It goes past Lightning's wrapper, which would count it as one more step of the run.
        """
        adversarial, optimizer = self.loss.adversarial, self.optimizers(use_pl_optimizer=False)[1]
        adversarial.requires_grad_(True)
        loss = adversarial.discriminator_loss(x, x_hat)
        optimizer.zero_grad()
        self.manual_backward(loss)
        step = self.global_step - 1  # this one: the codec's step has been counted
        self.discriminator_guard(optimizer, adversarial.parameters(), self.clip, step)
        optimizer.step()
        return loss

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Keep the counts of skipped steps, and the architecture."""
        skipped = [self.guard.skipped, self.discriminator_guard.skipped]
        checkpoint["pvc"] = {"skipped": skipped, "config": json.dumps(self.model.config)}

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Refuse the checkpoint of another architecture or of other losses before its weights are loaded."""
        config = json.loads(checkpoint.get("pvc", {}).get("config", "null"))
        if config != json.loads(json.dumps(self.model.config)):
            raise ConfigError(
                f"the checkpoint to resume from is of another architecture ({config}); "
                f"this run builds {self.model.config}"
            )
        if odd := sorted(checkpoint["state_dict"].keys() ^ self.state_dict().keys()):
            raise ConfigError(
                f"the checkpoint to resume from was trained with other losses ({odd[0]}); another stage is another "
                "run: give another out, and warm_start=the model.safetensors of this one"
            )
        self.guard.skipped, self.discriminator_guard.skipped = checkpoint["pvc"]["skipped"]

    # -- looking -----------------------------------------------------------------------------------------------------

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        """Note, for each QP: bpp of the neural stream (estimated), PSNR and feature distance, and those of the base."""
        if not all(batch["counted"]):
            return
        (qp,), (name,) = batch["qp"], batch["name"]
        frames, base = batch["frames"].float() / 255, batch["base"].float() / 255
        coded = self.model(frames, base, torch.tensor([qp], device=self.device))
        values = self._measure(batch["frames"][0], coded.x_hat[0])
        values["bpp"] = float(coded.bits.mean()) / (frames.shape[-2] * frames.shape[-1])
        if (name, qp) not in self._of_base:
            self._of_base[name, qp] = self._measure(batch["frames"][0], base[0])
        values |= {f"base_{k}": v for k, v in self._of_base[name, qp].items()}
        if "base_bpp" in batch:
            values["base_bpp"] = batch["base_bpp"][0]
        self.means.add({f"val/qp={qp}/{k}": v for k, v in values.items()})

    def on_validation_epoch_start(self) -> None:
        """Begin anew."""
        self.means.clear()

    def on_validation_epoch_end(self) -> None:
        """Log the means over the clips of all processes."""
        self.log_dict(self.means.gather(self.trainer), sync_dist=True)

    def _measure(self, x: Tensor, x_hat: Tensor) -> dict[str, float]:
        decoded = (x_hat.float().clamp(0, 1) * 255).round().byte()
        where = str(self.device) if self.device.type == "cuda" else "cpu"  # others may have no float64
        distance = replace(self._distance, device=where)
        with full_float32(), torch.autocast(self.device.type, enabled=False):  # as the evaluation measures
            return {"psnr": Psnr()(x.cpu(), decoded.cpu()).values["psnr"], **distance(x, decoded).values}

    @torch.no_grad()
    def draw(self, batch: dict) -> Image.Image:
        """The first clip of a batch: a row for each frame; y and the fused frame beside what went in."""
        self.model.eval()
        x, base = batch["frames"][:1].float() / 255, batch["base"][:1].float() / 255
        coded = self.model(x, base, batch["qp"][:1])
        self.model.train()
        rows = [
            [x[0, t], base[0, t], batch["saliency"][0, t].expand(3, -1, -1), coded.y[0, t].float(), x_hat,
             5 * (x_hat - x[0, t]).abs()]
            for t, x_hat in enumerate(coded.x_hat[0].float())
        ]  # fmt: skip
        return sheet(rows, ("source", "base layer", "saliency", "perceptual frame y", "fused frame", "error x 5"))
