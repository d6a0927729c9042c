"""Small clips with something to see, and stand-ins for weights: random numbers in the real files' formats."""

import pytest
import torch
import torch.nn.functional as F
import torchvision

HEIGHT, WIDTH = 60, 100


def _smooth(seed: int, height: int, width: int) -> torch.Tensor:
    """A picture ``[3, height, width]`` in [0, 255]: soft colours with texture."""
    generator = torch.Generator().manual_seed(seed)
    coarse, fine = (torch.rand(1, 3, height // n, width // n, generator=generator) for n in (10, 3))
    both = [F.interpolate(p, (height, width), mode="bicubic", align_corners=False) for p in (coarse, fine)]
    return ((0.6 * both[0] + 0.4 * both[1]) * 255).clamp(0, 255)[0]


@pytest.fixture(scope="session")
def scene():
    """Function: ``(frames uint8 [T, 3, H, W], mask bool [T, H, W])`` of a thing that goes left, a camera that pans."""

    def make(frames=6, seed=1):
        wide, thing = _smooth(seed, HEIGHT, 3 * WIDTH), _smooth(seed + 100, 20, 20)
        clip, mask = [], torch.zeros(frames, HEIGHT, WIDTH, dtype=torch.bool)
        for t in range(frames):
            frame = wide[..., 30 + 2 * t : 30 + 2 * t + WIDTH].clone()
            left = 60 - 3 * t
            frame[:, 20:40, left : left + 20] = thing
            mask[t, 20:40, left : left + 20] = True
            clip.append(frame.byte())
        return torch.stack(clip), mask

    return make


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No weights in torch's cache nor in $PVC_WEIGHTS, whatever this machine has."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("PVC_WEIGHTS", raising=False)


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory):
    """Function: path of a file with random weights of torchvision's network (or U2-Net, or TASED-Net) called so."""
    folder = tmp_path_factory.mktemp("weights")
    extra = {
        "googlenet": {"init_weights": False},  # with the auxiliary classifiers that the real file holds
        "lraspp_mobilenet_v3_large": {"weights_backbone": None},
        "deeplabv3_mobilenet_v3_large": {"weights_backbone": None, "aux_loss": True},
    }

    def write(model):
        path = folder / f"{model}.pth"
        if not path.exists():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(5)
                if model.startswith("u2net"):
                    from pvc.importance.u2net import U2Net

                    network = U2Net(model)
                elif model == "tased":
                    from pvc.importance.tased_net import TasedNet

                    network = TasedNet()
                    for norm in (m for m in network.modules() if isinstance(m, torch.nn.BatchNorm3d)):
                        norm.momentum = 1.0
                    network(torch.rand(1, 3, 32, 64, 64) * 2 - 1)  # its normalisation sees something
                else:
                    network = torchvision.models.get_model(model, weights=None, **extra.get(model, {}))
            torch.save(network.state_dict(), path)
        return path

    return write
