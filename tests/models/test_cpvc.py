"""CPVC's networks: the paper's sizes and equations, and what training and coding build on."""

import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from pvc.errors import CheckpointError, ConfigError
from pvc.models.checkpoint import fingerprint, load_model, read_model_info, save_model
from pvc.models.cpvc import CPVC
from pvc.models.cpvc_kernels import ConvLstm, State, adapt
from pvc.models.ssf import ScaleSpaceFlow
from pvc.paths import config_dir
from tests.models.cpvc_small import clip_and_base, make_cpvc, wake

QP = torch.tensor([32])


def configured(name: str) -> CPVC:
    with initialize_config_dir(str(config_dir()), version_base=None):
        return instantiate(compose("train", overrides=[f"model={name}"]).model, _convert_="all")


def test_the_papers_network_has_the_papers_size():
    model = configured("cpvc")
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(9.62e6, rel=0.15)
    z = model.encoder(torch.zeros(1, 3, 32, 64))
    assert z.shape == (1, 128, 8, 16)
    kernels, _ = model.estimator(model.estimator.start(z), z)
    assert kernels.numel() == 2304 and kernels.shape == (1, 2, 128, 3, 3)
    assert [m.stride for m in model.estimator.content if isinstance(m, torch.nn.Conv2d)] == [(2, 2)] * 3
    assert len([m for m in model.estimator.mlp if isinstance(m, torch.nn.Linear)]) == 5


def test_the_tiny_network_is_small_and_starts_near_its_base_layer():
    model = configured("cpvc_tiny").eval()
    assert sum(p.numel() for p in model.parameters()) < 0.85e6
    frames, base = clip_and_base(2, 64, 64)
    with torch.no_grad():
        coded = model(frames, base, QP)
    assert (coded.x_hat - frames).square().mean() < 1.1 * (base - frames).square().mean()


def test_equation_2_by_its_letters():
    lstm, (f, h, c) = ConvLstm(3, 2), torch.randn(3, 1, 2, 5, 6)
    f = torch.randn(1, 3, 5, 6)
    state = State(f, h, c)
    wi, bi, wh, bh = lstm.of_features.weight, lstm.of_features.bias, lstm.of_hidden.weight, lstm.of_hidden.bias
    i, j, g, t = (
        F.conv2d(f, wi[k : k + 2], bi[k : k + 2], padding=1) + F.conv2d(h, wh[k : k + 2], bh[k : k + 2], padding=1)
        for k in (0, 2, 4, 6)
    )
    cell = torch.sigmoid(j) * c + torch.sigmoid(i) * torch.tanh(g)
    gate, hidden, got = lstm(state)
    assert torch.allclose(got, cell, atol=1e-6)
    assert torch.allclose(gate, torch.sigmoid(t), atol=1e-6)
    assert torch.allclose(hidden, torch.sigmoid(t) * torch.tanh(cell), atol=1e-6)


def test_equation_3_uses_each_frames_own_kernel_for_each_channel():
    z, kernels = torch.randn(2, 4, 7, 6), torch.randn(2, 2, 4, 3, 3)
    got = adapt(z, kernels)
    for n in range(2):
        for c in range(4):
            one, two = (kernels[n, k, c][None, None] for k in (0, 1))
            plane = z[n : n + 1, c : c + 1]
            expected = plane + F.conv2d(F.conv2d(plane, one, padding=1).relu(), two, padding=1)
            assert torch.allclose(got[n, c], expected[0, 0], atol=1e-5)


@pytest.mark.parametrize("kind", ["paper", "tiny"])
@pytest.mark.parametrize("size", [(40, 56), (41, 53), (1, 1), (8, 130)])
def test_pictures_of_any_size_come_back_in_their_size(kind, size):
    frames, base = torch.rand(2, 2, 3, *size), torch.rand(2, 2, 3, *size)
    with torch.no_grad():
        coded = make_cpvc(kind)(frames, base, torch.tensor([29, 38]))
    assert coded.y.shape == coded.x_hat.shape == frames.shape
    assert coded.bits.shape == (2, 2) and coded.latents.shape == coded.symbols.shape
    assert (coded.bits >= 0).all()


@pytest.mark.parametrize("kind", ["paper", "tiny"])
def test_a_clip_starts_afresh_and_its_later_frames_know_the_ones_before(kind):
    model, (frames, base) = wake(make_cpvc(kind)), clip_and_base()
    with torch.no_grad():
        whole, last = model(frames, base, QP), model(frames[:, 2:], base[:, 2:], QP)
        first = model(frames[:, :1], base[:, :1], QP)
        other = frames.clone()
        other[:, 0] = 0.5
        changed = model(other, base, QP)
    # A last bit, which depends on how many frames there are, may have a symbol rounded to the other side.
    difference = (whole.symbols[:, :1] - first.symbols).abs()
    assert difference.max() <= 1 and (difference > 0).double().mean() < 0.01
    assert not torch.equal(whole.latents[:, 2:], last.latents)
    assert not torch.equal(whole.latents[:, 2], changed.latents[:, 2])  # through f_{t-1}, h and c


def test_without_adaptive_kernels_frames_do_not_know_each_other():
    model, (frames, base) = make_cpvc("paper", adaptive_kernel=False), clip_and_base()
    with torch.no_grad():
        whole, last = model(frames, base).latents[:, 2:], model(frames[:, 2:], base[:, 2:]).latents
    assert torch.allclose(whole, last, atol=1e-3)


def test_training_sees_noise_and_evaluation_whole_symbols():
    model, (frames, base) = wake(make_cpvc("paper")), clip_and_base()
    coded = model(frames, base)
    assert torch.equal(coded.symbols, coded.symbols.round())
    model.train()
    one, two = model(frames, base), model(frames, base)
    assert not torch.equal(one.latents, two.latents)
    assert (one.latents[:, 0] - two.latents[:, 0]).abs().max() < 1  # of noise in ±1/2


@pytest.mark.parametrize("kind", ["paper", "tiny"])
def test_every_parameter_learns_from_rate_and_distortion(kind):
    model, (frames, base) = wake(make_cpvc(kind)).train(), clip_and_base()
    coded = model(frames, base, QP)
    ((coded.x_hat - frames).square().mean() + 1e-3 * coded.bits.mean()).backward()
    still = [k for k, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert not still


def test_settings_that_contradict_themselves_are_refused():
    for wrong in ({"qps": ()}, {"qps": (32, 32)}, {"rounding": 0.6}, {"block_transform": 13}, {"coarseness": 0}):
        with pytest.raises(ConfigError, match=f"model.{next(iter(wrong))}"):
            make_cpvc("tiny", **wrong)
    with pytest.raises(ConfigError, match="residual=true"):
        make_cpvc("paper", block_transform=8)
    with pytest.raises(ConfigError, match="give the QP"):
        make_cpvc("tiny")(*clip_and_base())
    frames, base = clip_and_base()
    one = make_cpvc("tiny", qps=(35,))
    assert torch.equal(one(frames, base).bits, one(frames, base, torch.tensor([35])).bits)


def test_a_released_checkpoint_is_the_same_model_and_no_other_kind(tmp_path):
    model = wake(make_cpvc("tiny", qps=(29, 38), base="x264-cpvc"))
    save_model(model, tmp_path / "m.safetensors", {"steps": 3})
    loaded = load_model(tmp_path / "m.safetensors")
    assert isinstance(loaded, CPVC) and (loaded.base, loaded.qps) == ("x264-cpvc", [29, 38])
    assert fingerprint(loaded) == fingerprint(model)
    assert read_model_info(tmp_path / "m.safetensors")["model"] == "cpvc"
    with pytest.raises(CheckpointError, match="is a cpvc model"):
        load_model(tmp_path / "m.safetensors", kind=ScaleSpaceFlow)
