"""Metrics on networks, with stand-ins for their weights: the numbers are those of the libraries that define them."""

from pathlib import Path

import lpips
import numpy as np
import piq
import pytest
import torch
from torch import nn

from pvc.metrics.backbones import load_features
from pvc.metrics.brisque import FILE, Brisque
from pvc.metrics.dists import Dists
from pvc.metrics.features import FeatureDistance
from pvc.metrics.fid_kid import FidKid, _Patches, frechet_distance, grid, inception_blocks, load_inception
from pvc.metrics.lpips import Lpips, load_lpips
from pvc.video import read_clip


@pytest.mark.parametrize(("net", "model"), [("alex", "alexnet"), ("squeeze", "squeezenet1_1")])
def test_lpips_is_the_one_of_its_authors(net, model, stand_in, clip, blurred, mask):
    metric = Lpips(net=net, weights=str(stand_in(model)))
    network = load_lpips(net, stand_in(model), "cpu")
    a, b = (c[:2].float() / 127.5 - 1 for c in (clip, blurred(clip)))
    values = metric(clip[:2], blurred(clip)[:2], mask[:2]).values
    with torch.no_grad():
        assert values[metric.names[0]] == pytest.approx(network(a, b).mean().item(), rel=1e-5)
        network.spatial = True
        full = network(a, b)
        network.spatial = False
    assert values[metric.names[1]] == pytest.approx(full[..., :32].mean().item(), rel=1e-5)
    assert values[metric.names[2]] == pytest.approx(full[..., 32:].mean().item(), rel=1e-5)


def test_lpips_has_the_authors_heads_and_the_given_network(stand_in):
    network = load_lpips("alex", stand_in("alexnet"), "cpu")
    given = torch.load(stand_in("alexnet"))
    heads = torch.load(Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth", map_location="cpu")
    assert torch.equal(network.net.slice2[1].weight, given["features.3.weight"])
    assert torch.equal(network.lin0.model[1].weight, heads["lin0.model.1.weight"])
    assert network is load_lpips("alex", stand_in("alexnet"), "cpu")  # loaded once


def test_loading_leaves_the_random_numbers_alone(stand_in, clip):
    load_lpips.cache_clear()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    Lpips(weights=str(stand_in("alexnet")))(clip[:1], clip[:1])
    assert torch.equal(torch.rand(3), expected)


def test_arrays_and_state_dicts_hold_the_same_squeezenet(stand_in, squeezenet_arrays):
    one, two = (load_features("squeezenet11", p, "cpu") for p in (stand_in("squeezenet1_1"), squeezenet_arrays))
    assert all(torch.equal(a, b) for a, b in zip(one.layers.parameters(), two.layers.parameters(), strict=True))
    assert two.mean.flatten().tolist() == pytest.approx([122.679, 116.669, 104.006])


def test_feature_distance_is_the_mean_over_layers(stand_in, clip, blurred):
    path = stand_in("alexnet")
    network = load_features("alexnet", path, "cpu")
    values = []
    for pair in zip(clip, blurred(clip), strict=True):
        a, b = ([f / f.norm(dim=1, keepdim=True) for f in network(x[None].float())] for x in pair)
        values.append(np.mean([(x - y).square().sum(1).mean().item() for x, y in zip(a, b, strict=True)]))
    metric = FeatureDistance(backbone="alexnet", weights=str(path))
    assert metric.names[0] == "feat_alexnet"
    assert metric(clip, blurred(clip)).values["feat_alexnet"] == pytest.approx(np.mean(values), rel=1e-4)


@pytest.mark.weights
def test_real_squeezenet_orders_distortions(shared_clips, blurred):
    path = shared_clips / "weights" / "squeezenet11_notop_torch_layout.npz"
    frames = shared_clips / "hevc-d" / "BasketballPass"
    if not path.is_file() or not frames.is_dir():
        pytest.skip("no SqueezeNet weights or no BasketballPass in the folder of shared clips")
    metric = FeatureDistance(weights_dir=str(path.parent), weights=path.name)
    clip = read_clip(frames, 0, 1)
    shift = torch.cat([clip[..., 1:], clip[..., -1:]], dim=-1)
    worse = (clip, shift, blurred(clip, 3), blurred(clip, 9))
    same, moved, little, much = (metric(clip, decoded).values[metric.names[0]] for decoded in worse)
    assert same == 0 < little < much < 1
    assert moved < much


def test_dists_is_nought_for_the_same_picture_and_rises(stand_in, tmp_path, clip, blurred):
    torch.save({k: torch.full((1, 1475, 1, 1), 1 / 2950) for k in ("alpha", "beta")}, tmp_path / "heads.pt")
    metric = Dists(weights=(str(stand_in("vgg16")), str(tmp_path / "heads.pt")))
    values = [metric(clip[:1], d[:1]).values["dists"] for d in (clip, blurred(clip, 3), blurred(clip, 9))]
    assert values[0] == pytest.approx(0, abs=1e-5)
    assert values[0] < values[1] < values[2]
    torch.save({"alpha": torch.zeros(3)}, tmp_path / "heads2.pt")
    bad = Dists(weights=(str(stand_in("vgg16")), str(tmp_path / "heads2.pt")))
    assert "heads2.pt" in bad(clip, clip).unavailable["dists"]


def test_brisque_is_the_one_of_piq(nowhere, clip, blurred):
    generator = torch.Generator().manual_seed(5)
    nowhere.mkdir(parents=True)
    torch.save((torch.randn(40, generator=generator), torch.rand(40, 36, generator=generator)), nowhere / FILE)
    expected = [piq.brisque(frame[None].float(), data_range=255.0).item() for frame in blurred(clip)]
    black = torch.zeros_like(clip[:1])
    scores = Brisque()(torch.cat([clip, black]), torch.cat([blurred(clip), black]))
    assert scores.values["brisque"] == pytest.approx(np.mean(expected), rel=1e-5)
    assert scores.notes["brisque"] == "mean over 5 of 6 frames; the others have no texture"


class _Means(nn.Module):
    """Stand-in for Inception: means and deviations of colours and halves."""

    def forward(self, patches):
        halves = torch.cat(patches.split(patches.shape[-1] // 2, dim=-1), dim=1)
        return [torch.cat([halves.mean((2, 3)), halves.std((2, 3))], dim=1)[..., None, None]]


def _patches(*clips, sizes=(5,), **settings):
    accumulator = _Patches(FidKid(patch=16, stride=16, **settings), _Means())
    for part in zip(*(c.split(list(sizes)) for c in clips), strict=True):
        accumulator.add(*part)
    return accumulator


def test_fid_and_kid_rise_with_distortion_in_each_region(clip, blurred, mask):
    decoded = clip.clone()
    decoded[..., 32:] = blurred(clip, 5)[..., 32:]
    scores = _patches(clip, decoded, mask).scores()
    assert scores.values["fid_roi"] == pytest.approx(0, abs=1e-9) and scores.values["fid_bg"] > 1e-3
    assert scores.values["kid_roi"] <= 0 < scores.values["kid_bg"]
    assert scores.notes["fid"] == "from 60 patches of 16x16" and scores.notes["kid_roi"] == "from 30 patches of 16x16"
    worse = _patches(clip, 255 - clip // 2, mask).scores().values
    assert all(worse[name] > scores.values[name] for name in worse)


def test_fid_is_computed_on_the_same_patches_whatever_the_chunks(clip, blurred, mask):
    one, two = (_patches(clip, blurred(clip), mask, sizes=s, max_patches=20).scores() for s in ([5], [1, 4]))
    assert one == two
    assert one.notes["fid"] == "from 20 patches of 16x16 chosen of 60"


def test_fid_of_few_patches_or_without_mask_has_a_reason(clip):
    no_mask = _Patches(FidKid(patch=16, stride=16), _Means())
    no_mask.add(clip, clip, None)
    assert no_mask.scores().unavailable["kid_bg"] == "the sequence has no mask"
    few = _Patches(FidKid(patch=48, stride=48), _Means())
    few.add(clip[:2], clip[:2], None)
    assert few.scores().unavailable["fid"].startswith("4 patches are too few; 16")
    large = _Patches(FidKid(), _Means())
    large.add(clip, clip, None)
    assert "128x128" in large.scores().unavailable["fid"]


def test_patches_cover_every_pixel():
    for length, size, stride in [(416, 128, 128), (240, 64, 48), (64, 64, 64), (65, 64, 64), (128, 64, 64)]:
        starts = grid(length, size, stride)
        covered = {x for start in starts for x in range(start, start + size)}
        assert covered == set(range(length)) and len(starts) == len(set(starts))


@pytest.mark.parametrize("count", [12, 60])
def test_frechet_distance_is_the_one_of_piq(count):
    generator = torch.Generator().manual_seed(6)
    one = torch.rand(count, 24, generator=generator, dtype=torch.float64)
    two = one + 0.2 * torch.rand(count, 24, generator=generator, dtype=torch.float64)
    assert frechet_distance(one, two) == pytest.approx(piq.FID()(one, two).item(), rel=5e-3)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_inception_loads_from_its_file(tmp_path, clip):
    network = inception_blocks()
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    loaded = load_inception(tmp_path / "inception.pth", "cpu")
    with torch.no_grad():
        (features,) = loaded(clip[:1].float() / 255)
    assert features.shape == (1, 2048, 1, 1)
    assert torch.equal(loaded.blocks[0][0].conv.weight, network.Conv2d_1a_3x3.conv.weight)
