"""Small models whose new parts do something."""

import pytest
import torch

from pvc.models.conv import ConvEncoder
from pvc.models.ssf import ScaleSpaceFlow

SMALL = {
    "conv": {"transform": "conv", "width": 8, "latent": 16},
    "patch": {
        "transform": "patch",
        "width": 8,
        "latent": 32,
        "motion_latent": 8,
        "hyper": 8,
        "motion_hint": True,
        "temporal_context": True,
        "spatial_prediction": True,
    },
}

SMALL["fine"] = SMALL["patch"] | {"motion_latent": 12, "fine_motion": True, "heavy_tails": True}


def make(kind: str, seed: int = 0, **kwargs) -> ScaleSpaceFlow:
    """A small model with fixed weights, in evaluation mode; with ``roi``, the patch network tells its step map."""
    torch.manual_seed(seed)
    told = {"step_map": True} if kind != "conv" and kwargs.get("roi") else {}
    return ScaleSpaceFlow(**(SMALL[kind] | told | kwargs)).eval()


def wake(model: ScaleSpaceFlow) -> ScaleSpaceFlow:
    """Give all parameters that start at zero some effect, and the latents values that do not round to zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        if isinstance(model.intra.encoder, ConvEncoder):
            for branch in (model.intra, model.motion, model.residual):
                branch.encoder.layers[-1].weight.mul_(100)
        for branch in (model.intra, model.motion, model.residual):
            branch.prior.encoder[-1].weight.mul_(10)
        for p in model.parameters():
            if p.requires_grad and not p.any():
                p.normal_(std=0.1)
    return model


@pytest.fixture
def clip() -> torch.Tensor:
    """Three frames [1, 3, 3, 72, 104] of smooth moving content."""
    torch.manual_seed(2)
    base = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 16), (96, 128), mode="bicubic").clamp(0, 1)
    return torch.stack([base[..., 2 * t : 2 * t + 72, 3 * t : 3 * t + 104] for t in range(3)], dim=1)
