"""CPVC's entropy model: Param-Net and its normal densities (Li, IEEE Access 2024, sections III-D and III-F).

Mean and scale come from the base frame's features alone. When coding they are computed exactly (``pvc.entropy.exact``)
from the decoded base picture, whose pixels are whole numbers: every device has the same tables and the same features.
"""

import torch
from torch import Tensor, nn

from pvc.entropy import exact
from pvc.entropy.coder import Reader, Writer
from pvc.entropy.condition import Conditioned
from pvc.entropy.conditional import Conditional, scale_to_level
from pvc.entropy.quantise import DeadZone
from pvc.models.cpvc_transforms import resblock


class ParamNet(Conditional):
    """Mean and scale [N, C, h, w] of the features f [N, C, h, w] from the base frame's features, and coding with them.

    The scale is told as the standard deviation's position among the coder's tables, which are even in its logarithm.

    Args:
        channels: of both features. blocks: Resblocks. deviation: of the features before anything is learnt.
        dead_zone: how the encoder quantises; None is the paper's way: noise in training, also for the decoder, and
            rounding after it.
    """

    def __init__(self, channels: int, blocks: int, deviation: float, dead_zone: DeadZone | None):
        super().__init__(log_scale=True, dead_zone=dead_zone)
        self.layers = Conditioned([*(resblock(channels) for _ in range(blocks)), nn.Conv2d(channels, 2 * channels, 1)])
        with torch.no_grad():
            self.layers[-1].weight.mul_(0.1)
            self.layers[-1].bias.zero_()
            self.layers[-1].bias[channels:] = scale_to_level(torch.tensor(deviation))

    def forward(self, f: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Equations 3 (Q) and 4: quantised features and symbols [N, C, h, w], and estimated bits [N].

        Args:
            f: before quantisation. parameters: what :meth:`predict` gave, [N, 2 C, h, w].
        """
        mean, level = parameters.chunk(2, dim=1)
        symbols, coded, likelihood = self.estimate(f, mean, level, None)
        bits = -torch.log2(likelihood).flatten(1).sum(1)
        return (coded if self.training and self.dead_zone is None else symbols) + mean, symbols, bits

    def predict(self, features: Tensor) -> Tensor:
        """Mean and level [N, 2 C, h, w], in floating point, for training."""
        return self.layers(features)

    def predict_exactly(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (float32) and whole level (float64) [N, C, h, w] from exact ``features``: the same bits everywhere."""
        mean, level = exact.run(self.layers, features).chunk(2, dim=1)
        return exact.dyadic(mean, exact.ACTIVATION_BITS).float(), self.whole_level(level)

    def compress(self, f: Tensor, features: Tensor, writer: Writer) -> Tensor:
        """Write ``f`` [1, C, h, w]; returns the quantised features that :meth:`decompress` gives."""
        mean, level = self.predict_exactly(features)
        return self.put(f, mean, level, None, writer)[0] + mean

    def decompress(self, features: Tensor, reader: Reader) -> Tensor:
        """Quantised features [1, C, h, w] from what :meth:`compress` wrote for the same exact ``features``."""
        mean, level = self.predict_exactly(features)
        return self.get(level, None, reader)[0].to(mean) + mean
