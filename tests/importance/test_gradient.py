"""Classifier-gradient saliency: the paper's steps one by one, and frames of other sizes than the classifier's."""

import pytest
import torch
import torch.nn.functional as F
import torchvision

from pvc.importance.gradient import GradientSaliency
from pvc.importance.networks import IMAGENET


@pytest.fixture(scope="module")
def frame():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 240, 416), generator=generator, dtype=torch.uint8)


@pytest.fixture(scope="module")
def network(stand_in):
    """Function: the model called so with its stand-in weights, by torchvision's own means."""

    def build(model, **settings):
        net = torchvision.models.get_model(model, weights=None, **settings)
        net.load_state_dict(torch.load(stand_in(model)))
        return net.eval()

    return build


@pytest.fixture
def saliency(stand_in):
    def build(mode, model="squeezenet1_1", **settings):
        return GradientSaliency(model=model, weights=str(stand_in(model)), mode=mode, **settings)

    return build


def expected(net, picture):
    """The paper's rough map ``[224, 224]`` of a picture uint8 ``[3, 224, 224]``, by its words."""
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in IMAGENET)
    x = ((picture / 255 - mean) / deviation)[None].requires_grad_()
    scores = net(x)
    scores[0, scores.argmax()].backward()
    return x.grad[0].abs().max(dim=0).values


def test_the_papers_steps_with_googlenet(saliency, network, frame):
    picture = frame[:, 8:232, 96:320]
    rough = expected(network("googlenet", init_weights=False, transform_input=True), picture)
    mean = F.conv2d(rough[None, None], torch.full((1, 1, 3, 3), 1 / 9), padding=1)[0]
    (q,) = saliency("crop", "googlenet", high=100).maps([picture])
    assert torch.allclose(q, mean / mean.max(), atol=1e-4)
    assert q.max() == 1


def test_crop_takes_the_centre_and_fades_to_the_edges(saliency, network, frame):
    rough = saliency("crop").rough(frame)[0]
    assert torch.allclose(rough[8:232, 96:320], expected(network("squeezenet1_1"), frame[:, 8:232, 96:320]), rtol=1e-3)
    for row in (20, 100):  # linearly, from the value at the crop's edge to 0 at the frame's
        ramp = rough[row, 96] * torch.arange(97) / 96
        assert torch.allclose(rough[row, :97], ramp, atol=1e-6)
    assert rough[0].max() == 0 and rough[:, -1].max() == 0


def test_resize_sees_the_whole_frame(saliency, frame):
    rough = saliency("resize").rough(frame)
    assert rough.shape == (1, 240, 416) and (rough[..., :50] > 0).any() and (rough[..., -50:] > 0).any()


def test_tiles_cover_the_frame(saliency, network, frame):
    tiled = saliency("tile").rough(frame)[0]
    assert tiled.shape == (240, 416)
    inner = tiled[4:-4, 4:-4] > 0  # strides leave the last rows and columns of a tile out
    assert bool(inner.any(0).all()) and bool(inner.any(1).all())
    alone = frame[:, :224, :224]  # a single tile is the classifier's own picture
    assert torch.allclose(saliency("tile").rough(alone)[0], expected(network("squeezenet1_1"), alone), rtol=1e-3)


@pytest.mark.parametrize("mode", ["crop", "resize", "tile"])
def test_frames_smaller_than_the_classifiers_have_maps(saliency, frame, mode):
    (q,) = saliency(mode).maps([frame[:, :101, :150]])
    assert q.shape == (1, 101, 150) and q.max() == 1


def test_a_gradient_of_zero_is_a_map_of_zeros(stand_in, tmp_path, frame):
    state = {name: torch.zeros_like(value) for name, value in torch.load(stand_in("squeezenet1_1")).items()}
    torch.save(state, tmp_path / "zeros.pth")
    source = GradientSaliency(model="squeezenet1_1", weights=str(tmp_path / "zeros.pth"))
    assert not next(source.maps([frame])).any()
