"""BRISQUE (Mittal et al. 2012) by piq: a no-reference metric, on the decoded frames alone."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
from piq.brisque import _natural_scene_statistics, _rbf_kernel, _scale_features
from piq.functional import imresize, rgb2yiq
from torch import Tensor

from pvc.errors import MissingWeights
from pvc.metrics.frame_means import FrameMeans
from pvc.metrics.weights import WeightsMetric
from pvc.weights import load_weights

FILE = "brisque_svm_weights.pt"
_RHO = -153.591  # offset of the authors' support vector regression


@dataclass(frozen=True)
class Brisque(WeightsMetric):
    """``brisque``: about 0 (natural) to 100 (distorted), of each decoded frame's luma, then the mean over frames.

    Frames without texture (black, say) have no value and do not count.

    Args:
        weights: Name or path of the file with the regression's support vectors; None is piq's name.
        weights_dir: Folder to look for it in first.
    """

    weights: str | None = None
    weights_dir: str | None = None
    device: str = "cpu"
    libraries = ("piq", "torch")
    names = ("brisque",)

    @property
    def files(self) -> tuple[str, ...]:
        """The regression's coefficients and support vectors."""
        return (self.weights or FILE,)

    def _start(self, *paths: Path) -> FrameMeans:
        coefficients, vectors = (t.to(self.device) for t in load_regression(*paths))

        @torch.inference_mode()
        def frame(reference: Tensor, decoded: Tensor, importance: Tensor | None) -> dict[str, float]:
            luma = rgb2yiq(decoded[None].to(self.device).float())[:, :1].round()
            try:
                score = _rbf_kernel(_features(luma), vectors) @ coefficients - _RHO
            except AssertionError:  # how piq says that the picture is flat
                return {}
            return {"brisque": float(score)}

        return FrameMeans(self.names, frame, smallest=32, lacking={"brisque": "texture"})


def _features(luma: Tensor) -> Tensor:
    """piq's 36 natural scene statistics ``[1, 36]`` of luma ``[1, 1, H, W]`` in [0, 255], at full and half size.

    The steps of ``piq.brisque``, which cannot be called: it fetches its weights from the network by itself.
    """
    half = imresize(luma, sizes=(luma.shape[2] // 2, luma.shape[3] // 2))
    return _scale_features(torch.cat([_natural_scene_statistics(x) for x in (luma, half)], dim=-1))


@functools.cache
def load_regression(path: Path) -> tuple[Tensor, Tensor]:
    """Coefficients ``[S]`` and support vectors ``[36, S]``. Raises ``MissingWeights`` for other content."""
    state = load_weights(path)
    pair = [t.float() for t in state] if isinstance(state, tuple | list) else []
    if len(pair) != 2 or pair[1].shape != (pair[0].numel(), 36):
        raise MissingWeights(f"weights file {path.name} does not hold BRISQUE's support vectors; replace it")
    return pair[0].reshape(-1), pair[1].t()
