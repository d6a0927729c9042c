"""How a model computes in training: the layout of its weights, and torch.compile."""

from collections.abc import Callable

import torch
from torch import nn

from pvc.errors import ConfigError

# Values of ``training.compile`` beside true (inductor) and false, and what they mean to torch.compile.
WAYS = {
    "reduce-overhead": {"mode": "reduce-overhead"},
    "max-autotune": {"mode": "max-autotune"},
    "aot_eager": {"backend": "aot_eager"},
    "eager": {"backend": "eager"},
}


def check(way: bool | str) -> None:
    """Raise ``ConfigError`` for what is no value of ``training.compile``."""
    if not isinstance(way, bool) and way not in WAYS:
        raise ConfigError(f"training.compile={way} is not known; give true, false, {', '.join(WAYS)}")


def compiled(forward: Callable, way: bool | str) -> Callable:
    """``forward`` of a model, compiled if ``way`` asks for it; that happens when it is first called.

    The model itself stays as it is: its weights keep their names, so checkpoints fit runs with and without this, and
    validation, whose pictures have other sizes, does not compile for each of them.
    """
    return torch.compile(forward, dynamic=False, **WAYS.get(way, {})) if way else forward


def arrange(module: nn.Module, device: torch.device) -> nn.Module:
    """Lay out the weights for training on ``device``: channels together, as GPUs and the tiny models take them.

    For the papers' 5x5 convolutions on a CPU planes are a tenth faster (benchmarks/train_step.py): the gradients of
    the weights come as planes there, and each would be converted.
    """
    planes = device.type == "cpu" and getattr(module.model, "config", {}).get("transform") == "conv"
    return module.to(memory_format=torch.contiguous_format if planes else torch.channels_last)
