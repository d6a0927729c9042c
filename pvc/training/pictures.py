"""A picture of what the codec does, every so many steps."""

from collections.abc import Sequence
from pathlib import Path

import torch
from lightning import Callback, LightningModule, Trainer
from PIL import Image, ImageDraw
from torch import Tensor
from torchvision.utils import flow_to_image

from pvc.importance import weighted_mask
from pvc.training.csv_log import going_on
from pvc.training.loggers import log_picture

CAPTIONS = ("input", "importance q", "flow", "prediction", "reconstruction", "error x 5", "bits")
U_ALPHA = 0.2  # alpha = 26.5 of the paper's figure 3


class Pictures(Callback):
    """Writes ``step=N.png`` every ``every`` steps: what the module's ``draw(batch)`` makes of the first clip.

    Loggers that show pictures get it as well.
    """

    def __init__(self, folder: Path, every: int):
        self.folder, self.every = folder, every

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, outputs, batch: dict, index: int) -> None:
        """Draw, when it is time; the randomness of training is not touched."""
        if (
            self.every
            and trainer.is_global_zero
            and trainer.global_step % self.every == 0
            and batch["frames"].size(1) > 1
        ):
            picture = module.draw(batch)
            with going_on(f"pictures in {self.folder}"):
                self.folder.mkdir(parents=True, exist_ok=True)
                picture.save(self.folder / f"step={trainer.global_step}.png")
                for logger in trainer.loggers:
                    log_picture(logger, picture, trainer.global_step)


@torch.no_grad()
def draw(model, frames: Tensor, roi: Tensor) -> Image.Image:
    """The picture for one clip: ``frames`` uint8 [1, T, 3, H, W], ``roi`` [1, T, 1, H, W]; a row for each P-frame.

    Columns: input, importance, flow (colour is direction, strength is length), prediction, reconstruction, error, and
    where the bits of motion and residual went (white: most). Models with ROI are shown at alpha = 26.5.
    """
    was_training = model.training
    model.eval()
    x = frames.float() / 255
    q = weighted_mask(roi.float(), U_ALPHA) if model.roi else torch.ones_like(x[:, :, :1])
    beta = torch.full((1,), model.beta, device=x.device) if model.multirate else None
    with RecordBits(model) as maps:
        coded = model(x, beta, q if model.roi else None)
    model.train(was_training)
    size = x.shape[-2:]
    rows = []
    for t in range(1, x.shape[1]):
        bits = sum(torch.nn.functional.interpolate(m, size, mode="nearest")[0] for m in maps[2 * t - 1 : 2 * t + 1])
        rows.append(
            [
                x[0, t],
                q[0, t].expand(3, -1, -1),
                flow_to_image(coded.flow[0, t - 1].float()) / 255,
                coded.prediction[0, t - 1],
                coded.x_hat[0, t].float(),
                5 * (coded.x_hat[0, t].float() - x[0, t]).abs(),
                (bits / bits.max().clamp(min=1e-6)).expand(3, -1, -1),
            ]
        )
    return sheet(rows, CAPTIONS)


def sheet(rows: list[list[Tensor]], captions: Sequence[str]) -> Image.Image:
    """Rows of pictures [3, H, W] in [0, 1] (clamped) of one size, with a caption over each column."""
    whole = torch.cat([torch.cat([c.clamp(0, 1).cpu() for c in row], dim=2) for row in rows], dim=1)
    image = Image.fromarray((whole * 255).round().byte().permute(1, 2, 0).numpy())
    titled = Image.new("RGB", (image.width, image.height + 16), "white")
    titled.paste(image, (0, 16))
    pen = ImageDraw.Draw(titled)
    for i, caption in enumerate(captions):
        pen.text((i * rows[0][0].shape[-1] + 4, 2), caption, fill="black")
    return titled


class RecordBits:
    """While active, collects a map [1, 1, h, w] of the bits of every latent that is coded, in order of coding."""

    def __init__(self, model):
        self._model, self._handles = model, []

    def __enter__(self) -> list[Tensor]:
        maps: list[Tensor] = []

        def note(module, _, likelihood):
            maps.append(-torch.log2(likelihood).sum(1, keepdim=True))

        for branch in (self._model.intra, self._model.motion, self._model.residual):
            self._handles.append(branch.prior.conditional.likelihood_lower_bound.register_forward_hook(note))
        return maps

    def __exit__(self, *_) -> None:
        for handle in self._handles:
            handle.remove()
