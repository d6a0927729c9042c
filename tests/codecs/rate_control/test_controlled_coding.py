"""The released model under control: real streams, decoded again."""

import functools
from fractions import Fraction

import pytest
import torch

from pvc.codecs.neural import NeuralCodec
from pvc.codecs.registry import load_codec
from pvc.data.synthetic import Synthetic
from pvc.entropy.condition import code_to_beta
from pvc.entropy.reader import StreamReader
from pvc.errors import ConfigError
from pvc.importance import weighted_mask
from pvc.metrics.psnr import psnr_db
from pvc.paths import find_checkpoints

FPS, FRAMES = Fraction(12), 54


@pytest.fixture(scope="module")
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Frames uint8 [T, 3, 96, 128] and masks [T, 1, 96, 128] of a made scene, with a cut to another one at frame 30."""
    parts = [(scene, 30 - 6 * i) for i, scene in enumerate(Synthetic(names=["garage", "cat-on-grass"]).eval())]
    window = (..., slice(80, 176), slice(160, 288))
    return tuple(torch.cat([getattr(s, how)(0, n)[window] for s, n in parts]) for how in ("read", "read_mask"))


@pytest.fixture(scope="module")
def codec() -> NeuralCodec:
    return NeuralCodec(find_checkpoints("mr-md-ssf-tiny"))


def psnrs(clip, decoded, masks=None) -> list[float]:
    error = (clip.int() - decoded.int()).square().double()
    if masks is None:
        return [psnr_db(e.mean().item()) for e in error]
    return [psnr_db(e[:, m[0] >= 0.5].mean().item()) for e, m in zip(error, masks, strict=True)]


def test_a_real_stream_has_the_bitrate_in_every_second_and_decodes(codec, scene):
    clip, _ = scene
    point = {"bitrate": 40.0, "alpha": 1.0}
    data = codec.encode(clip, point, fps=FPS)
    assert 8 * len(data) * FPS / FRAMES == pytest.approx(40000, rel=0.03)
    frames = list(StreamReader(data).frames())
    assert len({frame.beta_code for frame in frames}) > 10 and frames[30].key
    bits = [8 * len(frame.data) + 60 for frame in frames]
    for t in range(FRAMES - 11):
        assert sum(bits[t : t + 12]) == pytest.approx(40000, rel=0.16)
    assert codec.decode(data).shape == clip.shape


def test_the_floor_in_the_roi_is_held_in_every_decoded_frame(codec, scene):
    clip, masks = (part[:14] for part in scene)
    point = {"roi_psnr": 27.0, "bitrate": 50.0, "alpha": 60.0}
    control = codec.control(point, fps=FPS, count=14, size=(96, 128))
    maps = (weighted_mask(m, 0.0) for m in masks)
    parts = codec.encode_frames(clip, point, maps, fps=FPS, count=14, size=(96, 128), control=control)
    data = b"".join(parts)
    assert min(psnrs(clip, codec.decode(data), masks)) > 27.0 - 0.02  # the encoder's own last bit may differ
    assert "27 dB" in control.report()[1]


def test_constant_quality_is_constant(codec, scene):
    clip = scene[0][:14]
    found = psnrs(clip, codec.decode(codec.encode(clip, {"psnr": 28.0}, fps=FPS)))
    assert max(abs(db - 28) for db in found) < 0.3


def test_iframe_alpha_1_codes_the_first_frame_as_without_a_map(codec, scene):
    clip, masks = (part[:2] for part in scene)
    q = weighted_mask(masks, 0.2)
    plain, steered, first = (
        codec.encode(clip, {"beta": 1e-3, "alpha": 60**0.8} | more, maps)
        for more, maps in (({}, None), ({}, q), ({"iframe_alpha": 1.0}, q))
    )
    plain, steered, first = ([frame.data for frame in StreamReader(data).frames()] for data in (plain, steered, first))
    assert first[0] == plain[0] != steered[0]
    assert first[1] != plain[1]


def betas(codec, clip, gop=12, **point):
    """Of all frames, and which are I-frames."""
    codec = NeuralCodec(codec._paths, gop=gop)
    frames = StreamReader(codec.encode(clip, {"beta": 1e-3} | point)).frames()
    return [(code_to_beta(frame.beta_code), frame.key) for frame in frames]


def test_i_frames_have_half_the_beta_unless_told_otherwise(codec, scene):
    clip = scene[0][:3]
    near = functools.partial(pytest.approx, rel=1e-3)
    assert betas(codec, clip, gop=2) == [(near(5e-4), True), (near(1e-3), False), (near(5e-4), True)]
    assert betas(codec, clip[:2], iframe_beta=1) == [(near(1e-3), True), (near(1e-3), False)]
    assert betas(codec, clip[:2], beta=1.5e-4) == [(near(1e-4), True), (near(1.5e-4), False)]  # as far as betas go
    assert betas(codec, clip[:2], gop=1) == [(near(1e-3), True)] * 2
    with pytest.raises(ConfigError, match=r"iframe_beta=2 lies outside \[0.01"):
        betas(codec, clip, iframe_beta=2)
    with pytest.raises(ConfigError, match="iframe_beta is a share of beta, and bitrate sets the rate"):
        codec.encode(clip, {"bitrate": 100, "iframe_beta": 1}, fps=FPS)
    plain = {"beta": 1e-3, "alpha": 1.0}
    settings = {"beta": [1e-3], "u_alpha": [1.0], "iframe_beta": [None, 1]}
    assert codec.points(settings) == [plain, plain | {"iframe_beta": 1}]
    assert codec.points(settings | {"iframe_beta": 0.5}) == [plain | {"iframe_beta": 0.5}]
    with pytest.raises(ConfigError, match="iframe_beta is a share of beta, and a bitrate or quality sets the rate"):
        codec.points(settings | {"bitrate": [100]})


def test_models_of_one_rate_have_one_beta(scene):
    codec = load_codec("ssf-tiny")
    assert [p.keys() for p in codec.points({"iframe_beta": 0.5})] == [{"beta", "alpha"}] * 4
    with pytest.raises(ConfigError, match="ssf-tiny codes all frames at one beta"):
        codec.encode(scene[0][:2], {"beta": 1e-4, "iframe_beta": 0.5})


def test_points_of_an_evaluation(codec):
    settings = {"bitrate": [100, 200], "u_alpha": [1.0, 0.2], "beta": [1e-3]}
    points = codec.points(settings)
    assert [p["bitrate"] for p in points] == [100, 200] * 2 and {p["alpha"] for p in points} == {1.0, 60**0.8}
    assert codec.points({**settings, "bitrate": None}) == [{"beta": 1e-3, "alpha": a} for a in (1.0, 60**0.8)]
    floors = codec.points({**settings, "roi_psnr": 30})
    assert [(p["roi_psnr"], p["alpha"]) for p in floors] == [(30, 60**0.8)] * 2
    first = codec.points({"beta": [1e-3], "u_alpha": [1.0, 0.2], "iframe_alpha": [None, 1]})
    assert first == [{"beta": 1e-3, "alpha": a} for a in (1.0, 60**0.8)] + [
        {"beta": 1e-3, "alpha": 60**0.8, "iframe_alpha": 1.0}
    ]


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"bitrate": [100], "psnr": [30]}, "psnr and bitrate both set the rate"),
        ({"bitrate": [0]}, r"bitrate=0 lies outside \[0.1"),
        ({"roi_psnr": [30], "u_alpha": [1.0]}, "u_alpha below 1"),
    ],
)
def test_points_that_contradict_themselves_are_refused(codec, settings, said):
    with pytest.raises(ConfigError, match=said):
        codec.points({"u_alpha": [0.2], **settings})


def test_a_model_of_one_rate_cannot_be_controlled(scene):
    single = NeuralCodec(find_checkpoints("ssf-tiny-4e-4"))
    with pytest.raises(ConfigError, match="cannot hold a bitrate; use a multi-rate model"):
        single.encode(scene[0][:2], {"bitrate": 100})
    assert single.points({"bitrate": [100], "u_alpha": [1.0]}) == [{"beta": 4e-4, "alpha": 1.0}]
    with pytest.raises(ConfigError, match="needs an importance map"):
        NeuralCodec(find_checkpoints("mr-md-ssf-tiny")).encode(scene[0][:2], {"roi_psnr": 30, "alpha": 26})
