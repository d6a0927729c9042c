"""CompressAI's ssf2020 as a codec: real bytes, decoded from bytes alone, and weights that are named or refused."""

import hashlib
import json
from fractions import Fraction

import pytest
import torch
from compressai.models.video import ScaleSpaceFlow

from pvc.codecs import compressai, load_codec
from pvc.codecs.compressai import Ssf2020
from pvc.entropy.reader import StreamReader
from pvc.errors import BitstreamError, ConfigError, ImportanceError, MissingWeights, VideoError
from tests.codecs.pictures import moving_texture, psnr


def _network(gain: float, seed: int = 0) -> ScaleSpaceFlow:
    """Untrained, but with latents that ``gain`` takes away from zero, so that there is something to code."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ScaleSpaceFlow()
    with torch.no_grad():
        for encoder in (network.img_encoder, network.motion_encoder, network.res_encoder):
            encoder[-1].weight.mul_(gain)
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.save(_network(30).state_dict(), folder / "low.pth.tar")
    torch.save({"state_dict": _network(300).state_dict(), "epoch": 1}, folder / "high.pth.tar")
    return folder


@pytest.fixture(scope="module")
def codec(folder):
    return Ssf2020("mine", gop=3, weights={1: "low.pth.tar", 6: "high.pth.tar"}, weights_dir=str(folder))


@pytest.mark.parametrize("size", [(48, 64), (47, 131)])
def test_decoding_gives_what_the_encoder_saw(codec, size):
    clip = moving_texture(5, *size)
    with torch.inference_mode():
        network = _network(30).eval()
        network.update()
        padded, ((left, right, top, bottom), crop) = None, compressai.compute_padding(*size, min_div=128)
        padded = torch.nn.functional.pad(clip / 255, (left, right, top, bottom))
        seen = None
        reconstructions = []
        for t, x in enumerate(padded.split(1)):
            seen = network.encode_keyframe(x)[0] if t % 3 == 0 else network.encode_inter(x, seen)[0]
            reconstructions.append(torch.nn.functional.pad(seen, crop))
    expected = (torch.cat(reconstructions).clamp(0, 1) * 255).round().to(torch.uint8)
    decoded = codec.decode(codec.encode(clip, {"quality": 1}))
    assert decoded.shape == clip.shape
    assert torch.equal(decoded, expected)
    assert decoded.float().std() > 0


def test_weights_that_code_more_take_more_bits(codec):
    clip = moving_texture(4)
    assert len(codec.encode(clip, {"quality": 6})) > 1.5 * len(codec.encode(clip, {"quality": 1}))


def test_same_input_same_bytes_and_the_bits_are_the_strings(codec):
    clip = moving_texture(4)
    data = codec.encode(clip, {"quality": 6})
    assert data == codec.encode(clip, {"quality": 6})
    stream = StreamReader(data)
    frames = list(stream.frames())
    assert [frame.key for frame in frames] == [True, False, False, True]  # gop 3
    assert len(data) < sum(len(frame.data) for frame in frames) + 80


def test_frames_are_taken_as_they_are_needed(codec):
    taken = []

    def frames():
        for t, frame in enumerate(moving_texture(4)):
            taken.append(t)
            yield frame

    chunks = codec.encode_frames(frames(), {"quality": 1}, fps=Fraction(30), count=4, size=(48, 64))
    assert next(chunks) and not taken
    assert next(chunks) and taken == [0]
    assert next(chunks) and taken == [0, 1]


def test_gradients_of_the_caller_stay_on(codec):
    for _ in codec.decode_frames(codec.encode(moving_texture(1), {"quality": 1})):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_damaged_streams_are_bitstream_errors_after_the_whole_frames(codec):
    data = codec.encode(moving_texture(3), {"quality": 1})
    for damaged in (b"", b"not a stream at all", data[:30]):
        with pytest.raises(BitstreamError):
            codec.decode(damaged)
    for damaged in (data[:-12], data[:-12] + bytes([data[-12] ^ 1]) + data[-11:]):
        frames = codec.decode_frames(damaged)
        assert [next(frames).shape for _ in range(2)] == [(3, 48, 64)] * 2
        with pytest.raises(BitstreamError):
            next(frames)


def test_streams_of_others_are_refused(codec, folder):
    data = codec.encode(moving_texture(1), {"quality": 1})
    with pytest.raises(BitstreamError, match="other weights"):
        Ssf2020("other", weights={1: str(folder / "high.pth.tar")}).decode(data)
    with pytest.raises(BitstreamError, match="ssf2020-1"):
        Ssf2020("other", weights={6: str(folder / "high.pth.tar")}).decode(data)


def test_published_weights_that_are_missing_are_named_with_their_place(monkeypatch, tmp_path):
    monkeypatch.setenv("PVC_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    codec = load_codec("ssf2020", gop=8)
    assert [point["quality"] for point in codec.points({})] == list(range(1, 10))
    assert codec.points({"quality": [2, 5]}) == [{"quality": 2.0}, {"quality": 5.0}]
    with pytest.raises(MissingWeights, match=r"ssf2020-mse-3-9c8b998d\.pth\.tar.*put it into") as error:
        codec.encode(moving_texture(1), {"quality": 3})
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_codec_by_its_name_looks_where_it_is_told_to_first(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "ssf2020-mse-1-c1ac1a47.pth.tar").write_bytes(b"other bytes")
    codec = load_codec("ssf2020", weights_dir=str(tmp_path))
    with pytest.raises(MissingWeights, match="is not what its name says"):  # it was found
        codec.encode(moving_texture(1), {"quality": 1})
    assert codec.meta == load_codec("ssf2020").meta  # where weights lie decides nothing


def test_weights_files_that_are_others_are_refused(tmp_path):
    codec = Ssf2020("ssf2020", weights_dir=str(tmp_path))
    torch.save({"weight": torch.zeros(1)}, tmp_path / "ssf2020-mse-1-c1ac1a47.pth.tar")
    with pytest.raises(MissingWeights, match="c1ac1a47"):
        codec.encode(moving_texture(1), {"quality": 1})
    torch.save({"weight": torch.zeros(1)}, tmp_path / "mine.pth.tar")
    with pytest.raises(MissingWeights, match=r"mine\.pth\.tar is not of ssf2020"):
        Ssf2020("mine", weights={1: str(tmp_path / "mine.pth.tar")}).encode(moving_texture(1), {"quality": 1})
    with pytest.raises(MissingWeights, match=r"gone\.pth\.tar"):
        Ssf2020("mine", weights={1: str(tmp_path / "gone.pth.tar")})


def test_the_record_says_which_weights(codec, folder):
    meta = json.loads(json.dumps(codec.meta))
    low = hashlib.sha256((folder / "low.pth.tar").read_bytes()).hexdigest()
    assert meta["weights"]["1"] == low and meta["gop"] == 3
    assert load_codec("ssf2020").meta["weights"]["1"] == "ssf2020-mse-1-c1ac1a47.pth.tar"


def test_random_weights_say_so_and_repeat():
    codec = load_codec("ssf2020-random", gop=2)
    assert (codec.name, codec.meta["weights"], codec.gop) == ("ssf2020-random", "random", 2)
    assert Ssf2020("peer", weights="random").name == "peer-random"
    clip = moving_texture(2)
    data = codec.encode(clip, {"quality": 4})
    assert data == load_codec("ssf2020-random", gop=2).encode(clip, {"quality": 4})
    assert codec.decode(data).shape == clip.shape


def test_bad_settings_are_errors_that_name_them(codec):
    for quality in ([], [0], [10], [2.5], [2], ["low"], [1, 1]):
        with pytest.raises(ConfigError, match="quality"):
            codec.points({"quality": quality})
    with pytest.raises(ConfigError, match="gop"):
        Ssf2020("mine", gop=0, weights="random")
    with pytest.raises(ConfigError, match="weights"):
        Ssf2020("mine", weights="imagenet")
    with pytest.raises(ImportanceError, match="mine"):
        codec.encode(moving_texture(1), {"quality": 1}, torch.ones(1, 1, 48, 64))
    with pytest.raises(VideoError, match="frame 0"):
        list(codec.encode_frames([torch.zeros(3, 8, 8)], {"quality": 1}, fps=Fraction(30), count=1, size=(8, 8)))


@pytest.mark.weights
def test_published_weights_give_a_picture():
    codec, clip = load_codec("ssf2020"), moving_texture(3, 128, 128)
    try:
        low, high = (codec.encode(clip, {"quality": quality}) for quality in (1, 9))
    except MissingWeights as error:
        pytest.skip(str(error))
    assert len(high) > len(low)
    assert psnr(codec.decode(high), clip) > max(25, psnr(codec.decode(low), clip))
