"""The losses of CPVC together: equation 8, with a weight for each part.

Source: Li, IEEE Access 2024, section III.E and table 2.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from pvc.errors import ConfigError

PARTS = ("mse", "mse_y", "perceptual", "contrastive", "adversarial")


class CpvcLoss(nn.Module):
    """``lambda R + sum_k weight_k L_k`` (equation 8), L_k being those of :data:`PARTS`.

    R is bits per pixel of the neural stream. ``mse`` is the mean squared error of RGB in [0, 1] (stage 1 of the paper's
    training), ``mse_y`` that of the perceptual frame y. What has weight 0 is not even made, so it needs no weights
    file.

    Args:
        lambdas: base layer's QP -> lambda.
        weights: of :data:`PARTS`, >= 0; those that are not named are 0.
        perceptual, contrastive, adversarial: make the parts; see the modules of their names.
    """

    def __init__(
        self,
        lambdas: Mapping[int, float],
        weights: Mapping[str, float],
        perceptual: Callable[[], nn.Module] | None = None,
        contrastive: Callable[[], nn.Module] | None = None,
        adversarial: Callable[[], nn.Module] | None = None,
    ):
        super().__init__()
        self.lambdas = {int(qp): float(value) for qp, value in lambdas.items()}
        self.weights = {part: float(weights.get(part, 0.0)) for part in PARTS}
        unknown = [part for part in weights if part not in PARTS]
        if unknown or min(self.weights.values()) < 0 or not any(self.weights.values()):
            raise ConfigError(
                f"loss.weights={dict(weights)} must be 0 or more for each of {', '.join(PARTS)}, at least one above 0"
            )
        makers = {"perceptual": perceptual, "contrastive": contrastive, "adversarial": adversarial}
        for part, make in makers.items():
            if self.weights[part] and make is None:
                raise ConfigError(
                    f"loss.weights.{part}={self.weights[part]:g}, but loss.{part} does not say what it is"
                )
            setattr(self, part, make() if self.weights[part] else None)

    def forward(
        self, x: Tensor, y: Tensor, x_hat: Tensor, bits: Tensor, saliency: Tensor, qp: Iterable[int]
    ) -> dict[str, Tensor]:
        """``loss``, ``bpp``, ``psnr`` (of the clip's mean squared error, dB) and the parts unweighted, each a scalar.

        Args:
            x, y, x_hat: source, perceptual and fused frames, ``[N, T, 3, H, W]`` in [0, 1].
            bits: of the neural stream, ``[N, T]``.
            saliency: ``[N, T, 1, H, W]`` in [0, 1].
            qp: of each clip's base layer.

        Raises:
            ConfigError: a QP has no lambda.
        """
        bpp = bits.mean(1) / (x.shape[-2] * x.shape[-1])
        x, y, x_hat, saliency = (v.flatten(0, 1) for v in (x, y, x_hat, saliency))
        parts = {"mse": (x_hat - x).square().mean()}
        if self.weights["mse_y"]:
            parts["mse_y"] = (y - x).square().mean()
        if self.perceptual is not None:
            parts["perceptual"] = self.perceptual(x_hat, x, saliency)
        if self.contrastive is not None:
            parts["contrastive"] = self.contrastive(y, x)
        if self.adversarial is not None:
            parts["adversarial"] = self.adversarial(x_hat)
        rate = (self.rate_weights(qp).to(bpp, non_blocking=True) * bpp).mean()
        loss = rate + sum(self.weights[k] * v for k, v in parts.items())
        psnr = -10 * torch.log10(parts["mse"].detach())
        return {"loss": loss, "bpp": bpp.mean(), "psnr": psnr, **parts}

    def rate_weights(self, qp: Iterable[int]) -> Tensor:
        """lambda ``[N]`` of each clip."""
        try:
            return torch.tensor([self.lambdas[int(value)] for value in qp])
        except KeyError as error:
            have = ", ".join(map(str, self.lambdas))
            raise ConfigError(
                f"loss.lambdas has none for qp {error}; it has {have}: add it, or change model.qps"
            ) from None
