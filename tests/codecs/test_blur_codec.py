"""A codec behind a blur by importance is that codec, on blurred frames."""

import pickle
from fractions import Fraction

import pytest
import torch

from pvc.codecs import Codec, load_codec
from pvc.codecs.blur import BlurCodec
from pvc.errors import ConfigError, ImportanceError
from pvc.importance import weighted_mask
from pvc.importance.blur import load_blur
from tests.codecs.pictures import moving_texture, psnr

BLURS = ["x264-blur", "x264-blur-contrast", "x264-blur-strong", "x265-blur-strong"]
CLIP = moving_texture(frames=3)


def _left(frames=3) -> torch.Tensor:
    m = torch.zeros(frames, 1, 48, 64)
    m[..., :32] = 1
    return m


@pytest.mark.parametrize("name", [*BLURS, "x264-blur-weak"])
def test_without_a_map_the_bits_are_those_of_the_codec_behind_it(name):
    codec, plain = load_codec(name), load_codec(name.split("-")[0])
    assert isinstance(codec, Codec) and codec.supports_importance and codec.gop == plain.gop
    data = codec.encode(CLIP, {"crf": 26, "alpha": 1.0})
    assert data == plain.encode(CLIP, {"crf": 26})
    assert torch.equal(codec.decode(data), plain.decode(data))


@pytest.mark.parametrize("name", BLURS)
def test_with_a_map_it_is_the_codec_on_blurred_frames_and_any_decoder_of_it_will_do(name):
    codec, plain = load_codec(name), load_codec(name.split("-")[0])
    blur = load_blur(name.split("-")[2] if name.count("-") == 2 else "paper")
    q = weighted_mask(_left(), 0.2)
    data = codec.encode(CLIP, {"crf": 26, "alpha": 26.5}, q)
    soft = torch.stack([blur(f, m) for f, m in zip(CLIP, q, strict=True)])
    assert data == plain.encode(soft, {"crf": 26})
    assert torch.equal(plain.decode(data), codec.decode(data))


def test_the_background_pays_and_what_matters_stays_as_good():
    codec = load_codec("x264-blur-strong")
    plain, soft = codec.encode(CLIP, {"crf": 20}), codec.encode(CLIP, {"crf": 20, "alpha": 60}, _left())
    assert len(soft) < 0.8 * len(plain)
    a, b = codec.decode(plain), codec.decode(soft)
    assert psnr(b[..., :24], CLIP[..., :24]) > psnr(a[..., :24], CLIP[..., :24]) - 1
    assert psnr(b[..., 40:], CLIP[..., 40:]) < psnr(a[..., 40:], CLIP[..., 40:]) - 5


def test_more_alpha_is_fewer_bits():
    codec = load_codec("x264-blur-strong")
    sizes = [
        len(codec.encode(CLIP, {"crf": 26, "alpha": 60 ** (1 - u)}, weighted_mask(_left(), u)))
        for u in (0.98, 0.95, 0.9, 0.8)
    ]
    assert sizes == sorted(set(sizes), reverse=True)


def test_points_are_those_of_the_codec_behind_it_for_each_u_alpha():
    points = load_codec("x264-blur").points({"crf": [20, 30], "u_alpha": [1.0, 0.0]})
    assert points == [{"crf": c, "alpha": a} for a in (1.0, 60.0) for c in (20.0, 30.0)]
    vvenc = BlurCodec("v", "vvenc", "strong")
    assert vvenc.points({"qp": [30], "u_alpha": [0.0]}) == [{"qp": 30.0, "alpha": 60.0}]


def test_a_codec_that_takes_maps_itself_is_run_without():
    inner = load_codec("x264-roi")
    codec = BlurCodec("both", "x264-roi", {"strong": {"largest": 2}})
    data = codec.encode(CLIP, {"crf": 26, "alpha": 60.0}, _left())
    soft = torch.stack([load_blur("strong", largest=2)(f, m) for f, m in zip(CLIP, _left(), strict=True)])
    assert data == inner.encode(soft, {"crf": 26, "alpha": 1.0})
    assert codec.points({"crf": [26], "u_alpha": [0.0]}) == [{"crf": 26.0, "alpha": 60.0}]


def test_a_trained_codec_can_stand_behind_it():
    codec, inner = BlurCodec("soft", "mr-md-ssf-tiny", "strong"), load_codec("mr-md-ssf-tiny")
    point = {"beta": 1.6e-3, "alpha": 60.0}
    data = codec.encode(CLIP[:1], point, _left(1))
    soft = load_blur("strong")(CLIP[0], _left(1)[0])[None]
    assert data == inner.encode(soft, {"beta": 1.6e-3, "alpha": 1.0})
    assert {**inner.meta, "blur": {"kernel": "LinearBlur", "largest": 8}} == codec.meta


def test_what_decides_the_bits_is_on_record_and_it_goes_to_other_processes():
    codec = load_codec("x264-blur-strong")
    assert codec.meta["options"] == load_codec("x264").meta["options"]
    assert codec.meta["blur"] == {"kernel": "LinearBlur", "largest": 8}
    copy = pickle.loads(pickle.dumps(codec))
    point = {"crf": 30, "alpha": 60.0}
    assert copy.meta == codec.meta and copy.encode(CLIP, point, _left()) == codec.encode(CLIP, point, _left())


def test_frames_and_maps_are_taken_one_by_one():
    taken = []

    def frames():
        for t, frame in enumerate(CLIP):
            taken.append(t)
            yield frame

    codec = load_codec("x264-blur")
    chunks = codec.encode_frames(
        frames(), {"crf": 26, "alpha": 60.0}, iter(_left()), fps=Fraction(25), count=3, size=(48, 64)
    )
    assert next(chunks) == b"" and next(chunks) and taken == [0]


def test_wrong_maps_and_names_are_named_errors():
    codec, point = load_codec("x264-blur-strong"), {"crf": 26, "alpha": 60.0}
    for bad in (_left(2), _left()[..., :60], _left() * 2, _left() * float("nan")):
        with pytest.raises(ImportanceError):
            codec.encode(CLIP, point, bad)
    streamed = {"fps": Fraction(25), "count": 3, "size": (48, 64)}
    with pytest.raises(ImportanceError, match="has 2 frames"):
        list(codec.encode_frames(iter(CLIP), point, iter(_left(2)), **streamed))
    with pytest.raises(ImportanceError, match=r"frame 0: .*60x48"):
        list(codec.encode_frames(iter(CLIP), point, iter(_left()[..., :60]), **streamed))
    with pytest.raises(ConfigError, match="'mild'"):
        BlurCodec("b", "x264", "mild")
    with pytest.raises(ConfigError, match="'x266'"):
        BlurCodec("b", "x266", "strong")
    with pytest.raises(ConfigError, match="u_alpha"):
        codec.points({"crf": [26], "u_alpha": [2]})
