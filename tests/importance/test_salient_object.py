"""U2-Net: its authors' weights files fit, by names and numbers, and frames of any size go through."""

import pytest
import torch

from pvc.errors import MissingWeights
from pvc.importance.salient_object import SalientObject
from pvc.importance.u2net import U2Net


@pytest.mark.parametrize(("model", "parameters"), [("u2netp", 1_131_181), ("u2net", 44_009_869)])
def test_layers_are_called_as_in_the_authors_files(model, parameters):
    """Names and sizes as published: u2netp.pth has 4.7 MB, u2net.pth 176 MB."""
    with torch.device("meta"):
        network = U2Net(model)
    assert sum(p.numel() for p in network.parameters()) == parameters
    state = network.state_dict()
    inner = {"u2netp": 16, "u2net": 32}[model]
    for name, shape in {
        "stage1.rebnconvin.conv_s1.weight": (64, 3, 3, 3),
        "stage1.rebnconv7.conv_s1.weight": (inner, inner, 3, 3),
        "stage1.rebnconv6d.bn_s1.running_mean": (inner,),
        "stage6.rebnconv4.conv_s1.bias": ({"u2netp": 16, "u2net": 256}[model],),
        "stage5d.rebnconv1d.bn_s1.weight": ({"u2netp": 64, "u2net": 512}[model],),
        "stage1d.rebnconv1d.conv_s1.weight": (64, 32, 3, 3),
        "side6.weight": (1, {"u2netp": 64, "u2net": 512}[model], 3, 3),
        "outconv.weight": (1, 6, 1, 1),
    }.items():
        assert tuple(state[name].shape) == shape, name
    assert not {"stage5.rebnconv5.conv_s1.weight", "stage4.rebnconv5.conv_s1.weight", "side7.weight"} & set(state)


def test_maps_are_stretched_or_left_as_the_network_gives_them(stand_in, scene):
    frame = scene(1)[0][0]
    weights = str(stand_in("u2netp"))
    stretched = next(SalientObject(weights=weights, size=64).maps([frame]))
    plain = next(SalientObject(weights=weights, size=64, stretch=False).maps([frame]))
    assert stretched.max() > 0.9 and stretched.min() < 0.1
    assert plain.max() - plain.min() < stretched.max() - stretched.min()
    assert torch.corrcoef(torch.stack([plain.flatten(), stretched.flatten()]))[0, 1] > 0.999


def test_the_larger_network_does_not_take_the_smaller_ones_file(stand_in, scene):
    source = SalientObject(model="u2net", weights=str(stand_in("u2netp")))
    with pytest.raises(MissingWeights, match=r"u2netp\.pth is of another network"):
        next(source.maps(scene(1)[0]))
