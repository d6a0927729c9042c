"""Symbols can be read ahead of the pictures: the same frames come out, and the same errors."""

import threading
from itertools import count

import pytest
import torch

from pvc.codecs import neural
from pvc.codecs.ahead import ahead, read_symbols
from pvc.codecs.neural import NeuralCodec
from pvc.entropy.reader import Concealment
from pvc.errors import BitstreamError
from pvc.models.checkpoint import save_model
from tests.models.conftest import make, wake


@pytest.fixture(scope="module", params=("conv", "patch"))
def codec(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / f"{request.param}.safetensors"
    save_model(wake(make(request.param, multirate=True, roi=True)), path)
    return NeuralCodec(path, gop=3)


@pytest.fixture
def frames():
    torch.manual_seed(2)
    base = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 16), (96, 128), mode="bicubic").clamp(0, 1)
    return torch.cat([base[..., 2 * t : 2 * t + 64, 3 * t : 3 * t + 96] for t in range(5)]).mul(255).byte()


def in_a_thread(self, model, frames, header):
    """What a GPU's decoder does."""
    return ahead(read_symbols(model, frames, header))


def test_frames_are_the_same_when_symbols_are_read_ahead(codec, frames, monkeypatch):
    stream = codec.encode(frames, {"beta": 1e-3})
    expected = codec.decode(stream)
    monkeypatch.setattr(neural.NeuralCodec, "_read", in_a_thread)
    assert torch.equal(codec.decode(stream), expected)


def test_damage_is_met_at_the_same_frame(codec, frames, monkeypatch):
    stream = bytearray(codec.encode(frames, {"beta": 1e-3}))
    stream[len(stream) // 2] ^= 255
    found = []
    for read in (NeuralCodec._read, in_a_thread):
        monkeypatch.setattr(neural.NeuralCodec, "_read", read)
        got, error = [], None
        try:
            for frame in codec.decode_frames(bytes(stream)):
                got.append(frame)
        except BitstreamError as e:
            error = str(e)
        hidden = list(codec.decode_frames(bytes(stream), conceal=Concealment()))
        found.append((torch.stack(got), error, torch.stack(hidden)))
    (a, error_a, hidden_a), (b, error_b, hidden_b) = found
    assert error_a and error_a == error_b
    assert torch.equal(a, b) and torch.equal(hidden_a, hidden_b)


def test_no_more_than_one_item_is_made_ahead():
    made = []

    def items():
        for i in count():
            made.append((i, threading.current_thread()))
            yield i

    found = ahead(items())
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    found.close()
    assert len(made) <= 4
    assert all(thread is not threading.current_thread() for _, thread in made)
