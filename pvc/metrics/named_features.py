"""A backbone's features at layers called by their usual names, frozen, for use inside of a loss."""

import copy
import logging
from collections.abc import Sequence

import torch
import torchvision

from pvc.errors import ConfigError
from pvc.metrics.backbones import BACKBONES, Features, load_features
from pvc.weights import find_weights

log = logging.getLogger(__name__)

RANDOM = "random"
_CONVOLUTIONS = (2, 2, 3, 3, 3)  # of VGG16 before each pooling


def _vgg16() -> dict[str, int]:
    names, index = {}, 0
    for block, count in enumerate(_CONVOLUTIONS, 1):
        names |= {f"relu{block}_{i + 1}": index + 2 * i + 1 for i in range(count)}
        index += 2 * count + 1  # and the pooling
    return names


LAYERS = {
    "vgg16": _vgg16(),
    "squeezenet11": {
        "relu1": 1, "fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7, "fire6": 9, "fire7": 10, "fire8": 11, "fire9": 12,
    },
    "alexnet": {f"relu{i + 1}": index for i, index in enumerate((1, 4, 7, 9, 11))},
}  # fmt: skip
"""Backbone -> name of a layer -> its place in torchvision's ``features``."""


def named_features(
    backbone: str, layers: Sequence[str], weights: str | None = None, weights_dir: str | None = None
) -> Features:
    """Frozen features of ``backbone`` at ``layers``: RGB ``[N, 3, H, W]`` in [0, 255] to one ``[N, C, h, w]`` for each.

    Its weights are no part of any state dict and no parameters, so a module that holds it neither trains nor saves it.

    Args:
        backbone: ``vgg16``, ``squeezenet11`` or ``alexnet``.
        layers: names of :data:`LAYERS`, such as ``relu4_3``; outputs come in the network's order.
        weights: name or path of the weights file; None: a usual one; ``"random"``: none, which only tests want.
        weights_dir: folder to look in first.

    Raises:
        ConfigError: no such backbone or layer.
        MissingWeights: the file is not there, or is of another network; the message says which one goes where.
    """
    if backbone not in LAYERS:
        raise ConfigError(f"no backbone is called {backbone!r}; there are {', '.join(LAYERS)}")
    known = LAYERS[backbone]
    if not layers or (unknown := [name for name in layers if name not in known]):
        raise ConfigError(f"{backbone} has no layer {', '.join(unknown) if layers else ''}; it has {', '.join(known)}")
    if weights == RANDOM:
        log.warning("weights=random: the features of %s mean nothing; use this in tests only", backbone)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = getattr(torchvision.models, BACKBONES[backbone].model)(weights=None).features
        whole = Features(network, known.values(), (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
    else:
        path = find_weights(weights or BACKBONES[backbone].files, weights_dir)
        whole = copy.deepcopy(load_features(backbone, path, "cpu"))  # the original is shared with metrics
    taps = [known[name] for name in layers]
    chosen = Features(whole.layers, taps, whole.mean.flatten(), whole.deviation.flatten())
    for module in chosen.modules():
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            delattr(module, name)
            module.register_buffer(name, tensor.detach(), persistent=False)
    return chosen.eval()
