"""Backbones inside of losses: layers by name, frozen, in no state dict; missing weights are one line."""

import pytest
import torch
import torchvision

from pvc.errors import ConfigError, MissingWeights
from pvc.metrics.named_features import LAYERS, named_features


def test_relu4_3_is_what_torchvisions_vgg16_has_there():
    layers = torchvision.models.vgg16(weights=None).features
    index = LAYERS["vgg16"]["relu4_3"]
    kinds = [type(layer).__name__ for layer in layers[: index + 1]]
    assert kinds[-1] == "ReLU" and kinds.count("MaxPool2d") == 3 and kinds.count("Conv2d") == 10
    features = named_features("vgg16", ["relu4_3"], weights="random")
    assert features(torch.rand(1, 3, 64, 64) * 255)[0].shape == (1, 512, 8, 8)


def test_it_is_frozen_and_saved_with_nothing_but_lets_gradients_through():
    features = named_features("squeezenet11", ["fire3", "fire5"], weights="random")
    assert not list(features.parameters()) and not features.state_dict()
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    fire3, fire5 = features(255 * x)
    assert fire3.shape[1:] == (128, 15, 15) and fire5.shape[1:] == (256, 7, 7)
    fire5.mean().backward()
    assert x.grad.abs().sum() > 0


def test_random_weights_are_the_same_each_time_and_said(caplog):
    torch.manual_seed(5)
    a = named_features("squeezenet11", ["fire2"], weights="random")
    drawn = torch.rand(1)
    b = named_features("squeezenet11", ["fire2"], weights="random")
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)  # it does not disturb other random numbers
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(a(x)[0], b(x)[0])
    assert "weights=random" in caplog.text


def test_real_squeezenet_weights_give_the_metrics_features(shared_clips):
    from pvc.metrics.backbones import BACKBONES, load_features

    path = shared_clips / "weights" / "squeezenet11_notop_torch_layout.npz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    x = 255 * torch.rand(1, 3, 64, 64)
    (got,) = named_features("squeezenet11", ["fire5"], weights=str(path))(x)
    whole = load_features("squeezenet11", path, "cpu")(x)
    assert torch.equal(got, whole[BACKBONES["squeezenet11"].taps.index(LAYERS["squeezenet11"]["fire5"])])
    assert all(not p.requires_grad for p in load_features("squeezenet11", path, "cpu").parameters())
    assert list(load_features("squeezenet11", path, "cpu").parameters())  # the metrics' own copy is untouched


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PVC_WEIGHTS", "")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(MissingWeights, match=r"vgg16-397923af\.pth is missing; put it into"):
        named_features("vgg16", ["relu4_3"])
    with pytest.raises(ConfigError, match=r"relu9_9.*relu4_3"):
        named_features("vgg16", ["relu9_9"], weights="random")
    with pytest.raises(ConfigError, match=r"vgg19.*vgg16"):
        named_features("vgg19", ["relu4_3"])
