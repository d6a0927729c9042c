"""Blur by importance: before coding, each pixel is blurred by a Gaussian of its own, the less it counts the more.

Source of the sigmoid: Alizada, "Saliency-guided video codec pre-processing", 2022, sections 3 and 5.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from pvc.errors import ConfigError, ImportanceError
from pvc.importance.gaussian_stack import GaussianStack
from pvc.importance.maps import check_map
from pvc.paths import config_dir


class Blur(ABC):
    """How strongly a map blurs, a frozen dataclass of its settings; called with a frame and its map, it blurs."""

    @property
    def meta(self) -> dict[str, Any]:
        """All that decides the result, JSON-able."""
        return {"kernel": type(self).__name__, **asdict(self)}

    @abstractmethod
    def sigma(self, importance: Tensor) -> Tensor:
        """Standard deviation of each pixel's Gaussian in pixels, ``[1, H, W]`` like ``importance`` (in [0, 1])."""

    @abstractmethod
    def _blurred(self, frame: Tensor, sigma: Tensor) -> Tensor:
        """Before rounding, float32 ``[3, H, W]``."""

    def __call__(self, frame: Tensor, importance: Tensor) -> Tensor:
        """``frame`` (uint8 RGB ``[3, H, W]``) blurred by its map (float32 in [0, 1], ``[1, H, W]``), uint8.

        Beyond its edges the frame goes on with the pixels of the edge.

        Raises:
            ImportanceError: the map has another size, or values that are not numbers in [0, 1].
        """
        check_map(importance[None], frame[None], clip_name="the frame")
        return self._blurred(frame, self.sigma(importance)).round_().clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class SigmoidBlur(Blur):
    """The paper's blur: 3x3 Gaussians with ``std_ij = outside sigmoid(inside (max / 2 - s_ij))``, s being the map.

    ``max`` is the largest value of the frame's map. A map that is equal everywhere (v) gives ``outside sigmoid(-inside
    v / 2)`` everywhere. The paper leaves the map as its network gives it; here it lies in [0, 1], so sigma does in
    [0.38, 0.62] for a map from 0 to 1, which blurs the most important pixels, too; with ``inside = 10`` in
    [0.007, 0.993]. With ``outside = 0.1`` sigma is below 0.1 whatever the map: the kernel's other weights are
    then below exp(-50), and no pixel of 8 bits changes.

    Args:
        inside: Factor inside the sigmoid (paper: 1, 10), > 0. outside: Factor outside of it (paper: 1, 0.1), > 0.

    Raises:
        ConfigError: a factor is not above 0.
    """

    inside: float = 1.0
    outside: float = 1.0

    def __post_init__(self):
        for key in ("inside", "outside"):
            if not 0 < getattr(self, key) < float("inf"):
                raise ConfigError(f"blur: {key}={getattr(self, key)} must be a number above 0")

    def sigma(self, importance: Tensor) -> Tensor:
        """See :class:`Blur`."""
        return self.outside * torch.sigmoid(self.inside * (importance.max() / 2 - importance))

    def _blurred(self, frame: Tensor, sigma: Tensor) -> Tensor:
        # The 3x3 kernel is that of (e, 1, e) / (1 + 2 e) both ways, so four pixels weigh e and four e^2.
        e = torch.exp(-0.5 / sigma.square())
        x = torch.nn.functional.pad(frame[None].float(), (1, 1, 1, 1), mode="replicate")[0]
        beside = x[:, :, :-2] + x[:, :, 2:]  # whole numbers below 2^24: exact
        edges = beside[:, 1:-1] + x[:, :-2, 1:-1] + x[:, 2:, 1:-1]
        corners = beside[:, :-2] + beside[:, 2:]
        return corners.mul_(e).add_(edges).mul_(e).add_(x[:, 1:-1, 1:-1]).div_((1 + 2 * e).square_())


@dataclass(frozen=True)
class LinearBlur(Blur):
    """Gaussians that grow: sigma falls from ``largest`` at importance 0 to no blur at all at 1; kernels reach 3 sigma.

    Args:
        largest: Sigma at importance 0 in pixels, 0.5 to 64.

    Raises:
        ConfigError: it lies outside of that.
    """

    largest: float = 8.0

    def __post_init__(self):
        if not 0.5 <= self.largest <= 64:
            raise ConfigError(f"blur: largest={self.largest} lies outside [0.5, 64] pixels")

    def sigma(self, importance: Tensor) -> Tensor:
        """See :class:`Blur`."""
        return self.largest * (1 - importance)

    def _blurred(self, frame: Tensor, sigma: Tensor) -> Tensor:
        return torch.from_numpy(GaussianStack(self.largest)(frame.numpy(), sigma[0].numpy()))


def blurred(frames: Iterable[Tensor], maps: Iterator[Tensor], blur: Blur) -> Iterator[Tensor]:
    """Each frame blurred by its map, one by one.

    Raises:
        ImportanceError: the maps end before the frames, or one of them does not fit its frame.
    """
    for t, frame in enumerate(frames):
        importance = next(maps, None)
        if importance is None:
            raise ImportanceError(f"the importance map has {t} frames but the clip has more; give one for each")
        try:
            yield blur(frame, importance)
        except ImportanceError as error:
            raise ImportanceError(f"frame {t}: {error}") from None


def strengths() -> list[str]:
    """Names of the blurs that there are: the files of ``configs/blur``."""
    return sorted(p.stem for p in (config_dir() / "blur").glob("*.yaml"))


def load_blur(name: str, **changes: float) -> Blur:
    """The blur called ``name``, with ``changes`` of its settings.

    Raises:
        ConfigError: no blur or setting is called so, or a setting is out of range.
    """
    if name not in strengths():
        raise ConfigError(f"no blur is called {name!r}; there are: {', '.join(strengths())}")
    config = OmegaConf.load(config_dir() / "blur" / f"{name}.yaml")
    if unknown := [key for key in changes if key not in config]:
        own = ", ".join(key for key in config if key != "_target_")
        raise ConfigError(f"blur {name} has no setting {', '.join(unknown)}; it has {own}")
    try:
        return instantiate(OmegaConf.merge(config, changes), _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from None
        raise
