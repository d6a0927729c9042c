"""Small clips, and stand-ins for weights: random numbers in the real files' formats, so that the real loading runs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision


@pytest.fixture(scope="session")
def clip():
    """uint8 ``[5, 3, 48, 64]``: smooth colours with texture, different in each frame."""
    generator = torch.Generator().manual_seed(3)
    coarse = F.interpolate(torch.rand(5, 3, 6, 8, generator=generator), (48, 64), mode="bicubic")
    fine = torch.rand(5, 3, 48, 64, generator=generator)
    return ((0.7 * coarse + 0.3 * fine).clamp(0, 1) * 255).to(torch.uint8)


@pytest.fixture(scope="session")
def mask():
    """``[5, 1, 48, 64]``: the left half is the ROI."""
    mask = torch.zeros(5, 1, 48, 64)
    mask[..., :32] = 1
    return mask


@pytest.fixture(scope="session")
def blurred():
    """Function: a clip blurred by a box of ``size`` pixels."""

    def blur(clip, size=3):
        padded = F.pad(clip.float(), [size // 2] * 4, mode="reflect")
        return F.avg_pool2d(padded, size, stride=1).round().to(torch.uint8)

    return blur


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No weights in torch's cache nor in $PVC_WEIGHTS, whatever this machine has; gives the empty cache's folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("PVC_WEIGHTS", raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory):
    """Function: path of a file in torchvision's format with random features of the model called so."""
    folder = tmp_path_factory.mktemp("weights")

    def write(model):
        path = folder / f"{model}.pth"
        if not path.exists():
            with torch.random.fork_rng(devices=[]), torch.device("meta"):
                shapes = getattr(torchvision.models, model)(weights=None).features.state_dict()
            generator = torch.Generator().manual_seed(4)
            state = {}
            for name, like in shapes.items():
                scale = (2 / max(1, like[0].numel())) ** 0.5 if like.ndim > 1 else 0.1
                state[f"features.{name}"] = scale * torch.randn(like.shape, generator=generator)
            torch.save(state, path)
        return path

    return write


@pytest.fixture(scope="session")
def squeezenet_arrays(stand_in, tmp_path_factory):
    """The stand-in for SqueezeNet 1.1 as an ``.npz`` of arrays in torch's layout."""
    places = {0: "conv1", 3: "fire2", 4: "fire3", 6: "fire4", 7: "fire5", 9: "fire6", 10: "fire7", 11: "fire8"}
    places[12] = "fire9"
    arrays = {}
    for name, value in torch.load(stand_in("squeezenet1_1")).items():
        _, place, *part, kind = name.split(".")
        part = ["squeeze1x1"] if part == ["squeeze"] else part
        arrays["/".join([places[int(place)], *part]) + "." + kind[0]] = value.numpy()
    path = tmp_path_factory.mktemp("arrays") / "squeezenet.npz"
    np.savez(path, **arrays)
    return path
