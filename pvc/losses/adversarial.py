"""Non-saturating adversarial loss.

Source: Goodfellow et al., NeurIPS 2014; Lucic et al., NeurIPS 2018 (table 1), which Li, IEEE Access 2024, names in
equation 8.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Adversarial(nn.Module):
    """The codec's loss ``-log D(x_hat)`` and the discriminator's ``-log D(x) - log(1 - D(x_hat))``.

    D(x) is the sigmoid of what ``discriminator`` gives, averaged over its positions.

    Args:
        discriminator: frames ``[N, 3, H, W]`` in [0, 1] -> logits of any shape. It is trained by an optimiser of its
            own.
    """

    def __init__(self, discriminator: nn.Module):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, x_hat: Tensor) -> Tensor:
        """The codec's loss, a scalar."""
        return F.softplus(-self.discriminator(x_hat).float()).mean()

    def discriminator_loss(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """The discriminator's loss, a scalar; nothing of it reaches the codec."""
        real, fake = self.discriminator(x), self.discriminator(x_hat.detach())
        return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()
