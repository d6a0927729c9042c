"""CPVC's frames as bytes: the decoder has the encoder's features, whatever it runs on."""

import copy
import functools

import pytest
import torch

from pvc.errors import BitstreamError
from pvc.models.cpvc import CPVC
from tests.models.cpvc_small import clip_and_base, make_cpvc, wake
from tests.models.test_same_symbols import SETTINGS, threads

CLIP, BASE = clip_and_base()
KINDS = ("paper", "tiny")


@functools.cache
def model_of(kind: str) -> CPVC:
    """Its tables are computed once, as those of a checkpoint are."""
    model = wake(make_cpvc(kind)).to(memory_format=torch.channels_last)
    model.update()
    return model


def coded(model: CPVC, device: str = "cpu", precision=torch.float32) -> tuple[list[bytes], list[torch.Tensor]]:
    """Streams of the clip's frames, and the features that the encoder goes on with after each."""
    streams, features, state = [], [], None
    for t in range(CLIP.shape[1]):
        data, state = model.encode_frame(CLIP[:, t].to(device), BASE[:, t].to(device), 32, state, precision)
        streams.append(data)
        features.append(state.features.cpu())
    return streams, features


def decoded(model: CPVC, streams: list[bytes], device: str = "cpu", precision=torch.float32):
    """Features and fused frames."""
    frames = [model.decode_frame(d, BASE[:, t].to(device), 32, precision) for t, d in enumerate(streams)]
    return [f.cpu() for _, _, f in frames], [x.cpu().float() for x, _, _ in frames]


def equal(a, b) -> bool:
    assert any(x.any() for x in a)
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def difference(a, b) -> float:
    """Largest of a sample, in steps of 8 bits."""
    return max((x - y).abs().max().item() for x, y in zip(a, b)) * 255


@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_has_the_features_that_the_encoder_goes_on_with(kind):
    model = model_of(kind)
    streams, features = coded(model)
    assert equal(features, decoded(model, streams)[0])
    assert equal(features, [model.decode_frame(d, BASE[:, t], 32)[2] for t, d in reversed([*enumerate(streams)])][::-1])


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_in_one_setting_is_read_in_another(kind, setting):
    model = model_of(kind)
    streams, features = coded(model)
    pictures = decoded(model, streams)[1]
    with SETTINGS[setting]():
        got, frames = decoded(model, streams)
        theirs, their_features = coded(model)
    assert equal(features, got)
    assert equal(their_features, decoded(model, theirs)[0])
    assert difference(pictures, frames) < (16 if setting == "coarse products" else 0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_one_thread_writes_and_two_read(kind):
    model = model_of(kind)
    with threads(1):
        streams, features = coded(model)
    with threads(2):
        assert equal(features, decoded(model, streams)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_layout_and_precision_of_the_decoder_do_not_change_symbols(kind):
    model = model_of(kind)
    streams, features = coded(model)
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    assert equal(features, decoded(plain, streams)[0])
    assert equal(features, decoded(model, streams, precision=torch.bfloat16)[0])
    half, half_features = coded(model, precision=torch.bfloat16)
    assert equal(half_features, decoded(model, half)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_reads_what_a_cpu_wrote_and_the_other_way(gpu, kind):
    here, there = model_of(kind), copy.deepcopy(model_of(kind)).to(gpu)
    streams, features = coded(here)
    got, pictures = decoded(there, streams, gpu)
    assert equal(features, got) and difference(pictures, decoded(here, streams)[1]) < 0.5
    streams, features = coded(there, gpu)
    assert equal(features, decoded(here, streams)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_real_bytes_are_near_the_estimate(kind):
    """What training minimises is what is written, though that is computed from rounded weights."""
    model = model_of(kind)
    with torch.no_grad():
        estimate = model(CLIP, BASE, torch.tensor([32])).bits.sum().item()
    written = 8 * sum(map(len, coded(model)[0]))
    assert abs(written - estimate) < 0.03 * estimate + 16 * CLIP.shape[1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_picture_comes_of_the_bytes_as_in_training(kind):
    """Without rounding of any symbol in between: forward in evaluation mode is the codec, but for exact parameters."""
    model = model_of(kind)
    with torch.no_grad():
        estimated = model(CLIP, BASE, torch.tensor([32]))
    pictures = decoded(model, coded(model)[0])[1]
    error = torch.stack(pictures, dim=1) - estimated.x_hat
    assert error.square().mean() < 0.1 * (estimated.x_hat - BASE).square().mean()


def test_bytes_of_another_base_frame_are_damage():
    """The base frame tells mean and scale, so that with another one symbols do not end where the bytes do."""
    model = model_of("paper")
    (data, *_), _ = coded(model)
    with pytest.raises(BitstreamError):
        model.decode_frame(data, 1 - BASE[:, 0], 32)
    with pytest.raises(BitstreamError):
        model.decode_frame(data[:-2], BASE[:, 0], 32)
