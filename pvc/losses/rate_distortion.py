"""Rate-distortion loss with an importance map, and the sampling of its two parameters.

Source: Fathima et al., WACV 2023, equations 1 to 5 and section 3.3.
"""

from torch import Tensor, nn

from pvc.entropy.condition import BETA_MAX, BETA_MIN
from pvc.importance import distortion_weight


class RateDistortion(nn.Module):
    """``beta R + D_ROI + D_BG / alpha`` (equation 2).

    Written for any map q it is ``beta R + mean(60^(q - 1) (x - x_hat)^2)``. For the paper's mask
    q = (1 - m) u_alpha + m the weight is 1 in the ROI and 1 / alpha outside (equations 3 to 5).

    Args:
        beta_power: divides each clip's loss by (beta / 1e-3)^beta_power, so that high rates and low rates pull with
            like force; 0 is the paper's loss.
        factor: constant factor, which keeps gradients well above Adam's epsilon.
    """

    def __init__(self, beta_power: float = 0.0, factor: float = 1.0):
        super().__init__()
        self.beta_power, self.factor = beta_power, factor

    def forward(
        self, x: Tensor, x_hat: Tensor, bits: Tensor, beta: Tensor, q: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Loss and its parts, each a scalar.

        Args:
            x, x_hat: [N, T, 3, H, W] in [0, 1].
            bits: [N, T].
            beta: [N].
            q: importance [N, T, 1, H, W]; None is 1 everywhere.
        """
        error = (x - x_hat) ** 2
        bpp = bits.mean(1) / (x.shape[-2] * x.shape[-1])
        weighted = error if q is None else error * distortion_weight(q)
        per_clip = (beta * bpp + weighted.flatten(1).mean(1)) * (beta / 1e-3) ** -self.beta_power
        return {"loss": self.factor * per_clip.mean(), "bpp": bpp.mean(), "mse": error.mean()}


def sample_beta(u: Tensor, gamma: float = 3.0) -> Tensor:
    """beta [N] by equation 5 with u_beta = u^gamma, u ~ U(0, 1): low beta (high rate) more often."""
    return BETA_MIN * (BETA_MAX / BETA_MIN) ** (u**gamma)
