"""CPVC's ST-guided kernel estimator (Li, IEEE Access 2024, section III-C, figure 3) and what its kernels do."""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL = 3


@dataclass(frozen=True)
class State:
    """What the estimator keeps of the frame before: f_{t-1} [N, C, h, w], and h and c of the ConvLSTM [N, L, h, w]."""

    features: Tensor
    hidden: Tensor
    cell: Tensor


class ConvLstm(nn.Module):
    """Equation 2: i, j (the forget gate), g and T (the output gate) from f_{t-1} and h_{t-1}, 3x3 convolutions."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.of_features = nn.Conv2d(channels, 4 * hidden, 3, padding=1)
        self.of_hidden = nn.Conv2d(hidden, 4 * hidden, 3, padding=1)

    def forward(self, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """T_t, h_t and c_t, each [N, L, h, w]."""
        i, j, g, gate = (self.of_features(state.features) + self.of_hidden(state.hidden)).chunk(4, dim=1)
        cell = j.sigmoid() * state.cell + i.sigmoid() * g.tanh()
        gate = gate.sigmoid()
        return gate, gate * cell.tanh(), cell


class KernelEstimator(nn.Module):
    """Two depthwise 3x3 kernels for each frame, from what was coded before and the base frame's features.

    The paper is silent on how T_t, a map, meets S_t, a vector, and on the MLP's width: T_t is averaged over its
    positions, and hidden layers have ``mlp`` units with ReLU.

    Args:
        channels: of f. hidden: of the ConvLSTM. content: of S_t. mlp: units of the four hidden layers.
    """

    def __init__(self, channels: int, hidden: int, content: int, mlp: int):
        super().__init__()
        self.channels, self.hidden = channels, hidden
        self.lstm = ConvLstm(channels, hidden)
        sizes = [channels, content, content, content]
        layers = [nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(sizes)]
        self.content = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU(inplace=True))))
        sizes = [hidden + content, mlp, mlp, mlp, mlp]
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        layers = [part for layer in layers for part in (layer, nn.ReLU(inplace=True))]
        self.mlp = nn.Sequential(*layers, nn.Linear(mlp, 2 * channels * KERNEL**2))

    def start(self, features: Tensor) -> State:
        """The state before the first frame of a group of pictures, zeros; ``features`` [N, C, h, w] say its size."""
        zeros = features.new_zeros(len(features), self.hidden, *features.shape[-2:])
        return State(torch.zeros_like(features), zeros, zeros)

    def forward(self, state: State, base: Tensor) -> tuple[Tensor, State]:
        """Kernels [N, 2, C, 3, 3] for the frame whose base frame has the features ``base`` [N, C, h, w].

        The state that comes back still has the features of the frame before; those of this one are yet to be coded.
        """
        gate, hidden, cell = self.lstm(state)
        content = self.content(base).mean((2, 3))
        kernels = self.mlp(torch.cat((gate.mean((2, 3)), content), dim=1))
        return kernels.view(-1, 2, self.channels, KERNEL, KERNEL), State(state.features, hidden, cell)


def depthwise(x: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each channel of ``x`` [N, C, h, w] with its own 3x3 kernel of ``kernels`` [N, C, 3, 3]."""
    n, c, h, w = x.shape
    together = x.contiguous().view(1, n * c, h, w)
    return F.conv2d(together, kernels.reshape(n * c, 1, KERNEL, KERNEL), padding=1, groups=n * c).view(n, c, h, w)


def adapt(z: Tensor, kernels: Tensor) -> Tensor:
    """Equation 3 before it is quantised: z + K2 * ReLU(K1 * z); ``z`` [N, C, h, w], ``kernels`` [N, 2, C, 3, 3]."""
    return z + depthwise(depthwise(z, kernels[:, 0]).relu(), kernels[:, 1])
