"""A stream says in which precision its pictures were made, and the decoder follows."""

from io import BytesIO

import pytest
import torch

from pvc.codecs.neural import NeuralCodec
from pvc.entropy.container import Header, parse_header
from pvc.entropy.reader import StreamReader
from pvc.errors import ConfigError
from pvc.models.checkpoint import save_model
from tests.models.conftest import make, wake


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "one.safetensors"
    save_model(wake(make("patch", roi=True)), path)
    return path


@pytest.fixture
def frames():
    torch.manual_seed(2)
    base = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 16), (96, 128), mode="bicubic").clamp(0, 1)
    return torch.cat([base[..., 2 * t : 2 * t + 64, 3 * t : 3 * t + 96] for t in range(3)]).mul(255).byte()


def test_the_decoder_takes_the_precision_from_the_stream(checkpoint, frames):
    fast, plain = NeuralCodec(checkpoint, precision="bfloat16"), NeuralCodec(checkpoint)
    point = {"beta": plain.betas[0]}
    stream = fast.encode(frames, point)
    assert StreamReader(BytesIO(stream)).header.precision == "bfloat16"
    assert torch.equal(plain.decode(stream), fast.decode(stream))
    assert not torch.equal(plain.decode(plain.encode(frames, point)), plain.decode(stream))
    assert fast.meta["precision"] == "bfloat16" and "precision" not in plain.meta


def test_the_header_holds_it_beside_colour():
    for precision in ("float32", "bfloat16"):
        header = Header("m", "00" * 8, 64, 32, "25", 12, 3, "bt2020", True, precision)
        assert parse_header(header.pack())[0] == header


def test_another_precision_is_refused_by_name(checkpoint):
    with pytest.raises(ConfigError, match="precision=float8"):
        NeuralCodec(checkpoint, precision="float8")
