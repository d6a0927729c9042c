"""Small CPVC models that have something to say."""

import torch
from torch import nn

from pvc.models.cpvc import CPVC

SIZES = {"channels": 12, "width": 8, "resblocks": 2, "param_blocks": 1, "lstm": 6, "content": 8, "mlp": 16}
KINDS = {
    "paper": {"unet": (8, 12)},
    "tiny": {"unet": (8, 12), "residual": True, "unshuffle": 2, "block_transform": 12, "rounding": 0.25},
}


def make_cpvc(kind: str = "tiny", seed: int = 0, **kwargs) -> CPVC:
    """A model with fixed weights, in evaluation mode."""
    torch.manual_seed(seed)
    return CPVC(**(SIZES | KINDS[kind] | kwargs)).eval()


def wake(model: CPVC) -> CPVC:
    """Let features not round to zero, and everything that starts small or at nothing have an effect."""
    torch.manual_seed(1)
    with torch.no_grad():
        for layers in (model.encoder, model.prior.layers):
            for layer in layers:
                if isinstance(layer, nn.Conv2d):
                    layer.weight.mul_(4)
        for layer in (model.unet.last, model.estimator.mlp[-1]):
            layer.weight.normal_(std=0.1)
        for layer in (*model.estimator.mlp[:-1:2], model.estimator.lstm.of_features, model.estimator.lstm.of_hidden):
            layer.weight.mul_(3)
    return model


def clip_and_base(frames: int = 3, height: int = 40, width: int = 56) -> tuple[torch.Tensor, torch.Tensor]:
    """Moving content [1, T, 3, H, W] in [0, 1] and a coarse version of it, both in steps of 1/255."""
    torch.manual_seed(2)
    big = torch.nn.functional.interpolate(torch.rand(1, 3, 24, 32), (96, 128), mode="bicubic").clamp(0, 1)
    x = torch.stack([big[..., 2 * t : 2 * t + height, 3 * t : 3 * t + width] for t in range(frames)], dim=1)
    base = torch.nn.functional.avg_pool2d(x.flatten(0, 1), 4).repeat_interleave(4, -1).repeat_interleave(4, -2)
    base = torch.nn.functional.pad(base, (0, width - base.shape[-1], 0, height - base.shape[-2]), mode="replicate")
    return tuple((255 * p).round() / 255 for p in (x, base.unflatten(0, (1, frames))))
