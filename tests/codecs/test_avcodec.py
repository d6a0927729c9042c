"""x264 and x265: what goes in comes out, the bytes are the bits, and the record says what made them."""

import io
from fractions import Fraction

import av
import pytest
import torch
from av.video.frame import PictureType

from pvc.codecs import load_codec
from pvc.codecs.avcodec import X264, X265
from pvc.codecs.delta_qp import DeltaQp
from pvc.errors import BitstreamError, ConfigError, ImportanceError, VideoError
from pvc.importance import u_from_alpha, weighted_mask

ROI = ["x264-roi", "x265-roi"]
ALL = ["x264", "x265", "x264-cpvc", "x265-cpvc", "x264-medium", "x265-medium"]


def _clip(frames=5, height=48, width=64) -> torch.Tensor:
    """Grey texture that moves, under a smooth tint: 4:2:0 costs it little."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    texture = 128 + 60 * torch.sin(x * 0.9) * torch.cos(y * 0.7) + 20 * torch.sin((x * y) * 0.05)
    tint = torch.stack([x / width, y / height, 1 - x / width]) * 30 - 15
    return torch.stack([texture.roll(t, -1) + tint for t in range(frames)]).clamp(0, 255).to(torch.uint8)


def _psnr(a, b) -> float:
    return float(10 * torch.log10(255**2 / (a.float() - b.float()).square().mean()))


@pytest.mark.parametrize("name", ALL)
def test_decoding_gives_the_clip_back_and_fewer_bits_give_less(name):
    codec, clip = load_codec(name, gop=4), _clip()
    sizes, quality = [], []
    for crf in (10, 40):
        data = codec.encode(clip, {"crf": crf})
        decoded = codec.decode(data)
        assert decoded.shape == clip.shape and decoded.dtype == torch.uint8
        sizes.append(len(data))
        quality.append(_psnr(clip, decoded))
    assert sizes[0] > 1.5 * sizes[1]
    assert quality[0] > quality[1] + 3
    assert quality[0] > 30


@pytest.mark.parametrize("name", ["x264", "x265"])
@pytest.mark.parametrize("size", [(47, 64), (48, 63), (33, 35)])
def test_odd_sizes_come_back_odd(name, size):
    codec = load_codec(name)
    clip = _clip(3, *size)
    decoded = codec.decode(codec.encode(clip, {"crf": 12}))
    assert decoded.shape == clip.shape
    assert _psnr(clip, decoded) > 28
    # The last row and column are picture, not padding of another frame size.
    assert _psnr(clip[..., -1, :], decoded[..., -1, :]) > 22


@pytest.mark.parametrize("name", ["x264", "x265", "x264-medium"])
def test_one_frame_clip(name):
    codec = load_codec(name)
    assert codec.decode(codec.encode(_clip(1), {"crf": 20})).shape == (1, 3, 48, 64)


@pytest.mark.parametrize("name", ["x264", "x265"])
def test_same_input_same_bytes(name):
    clip = _clip(6)
    assert load_codec(name).encode(clip, {"crf": 25}) == load_codec(name).encode(clip, {"crf": 25})


@pytest.mark.parametrize(("name", "form"), [("x264", "h264"), ("x265", "hevc")])
def test_zerolatency_has_one_key_frame_a_gop_and_no_b_frames(name, form):
    clip = torch.cat([_clip(5), 255 - _clip(5)])  # a scene cut inside the second GOP
    data = load_codec(name, gop=4).encode(clip, {"crf": 25})
    with av.open(io.BytesIO(data), format=form) as container:
        kinds = [PictureType(frame.pict_type).name for frame in container.decode(video=0)]
    assert kinds == ["I", "P", "P", "P", "I", "P", "P", "P", "I", "P"]


def test_the_cpvc_papers_h264_command_has_b_frames():
    data = load_codec("x264-cpvc", gop=8).encode(_clip(8), {"crf": 25})
    with av.open(io.BytesIO(data), format="h264") as container:
        kinds = [PictureType(frame.pict_type).name for frame in container.decode(video=0)]
    assert kinds == ["I", "B", "B", "P", "B", "B", "P", "P"]


@pytest.mark.parametrize(("name", "form"), [("x264", "h264"), ("x265", "hevc")])
def test_stream_is_tagged_with_matrix_range_and_rate(name, form):
    for height, colorspace in ((48, 5), (720, 1)):
        data = load_codec(name).encode(_clip(1, height, 64), {"crf": 35}, fps=Fraction(50))
        with av.open(io.BytesIO(data), format=form) as container:
            frame = next(container.decode(video=0))
            assert int(frame.colorspace) == colorspace
            assert int(frame.color_range) == 1
            assert container.streams.video[0].codec_context.framerate == 50


@pytest.mark.parametrize("kind", [X264, X265])
def test_full_range_and_another_matrix_come_back(kind):
    codec, clip = kind("custom", {"preset": "medium"}, matrix="bt2020", full_range=True), _clip(2)
    assert _psnr(clip, codec.decode(codec.encode(clip, {"crf": 12}))) > 30


@pytest.mark.parametrize("name", ["x264", "x265"])
def test_stream_carries_no_advertisement(name):
    data = load_codec(name).encode(_clip(1), {"crf": 51})
    assert b"x26" not in data
    assert len(data) < 300


def test_record_says_the_options_and_never_calls_a_crf_qp():
    codec = load_codec("x264", gop=32)
    assert codec.points({"crf": [20, 30]}) == [{"crf": 20.0}, {"crf": 30.0}]
    assert codec.meta["options"]["g"] == "32"
    assert codec.meta["options"]["tune"] == "zerolatency"
    assert "keyint=32" in load_codec("x265", gop=32).meta["options"]["x265-params"]
    assert load_codec("x265-medium", gop=32).gop == 250
    with pytest.raises(ConfigError, match="crf"):
        codec.encode(_clip(1), {"qp": 30})


@pytest.mark.parametrize("crf", [[], [-1], [52], ["low"], [30, 30], None])
def test_bad_crf_is_an_error_that_names_it(crf):
    with pytest.raises(ConfigError, match="crf"):
        load_codec("x264").points({"crf": crf})


@pytest.mark.parametrize("name", ["x264", "x265"])
def test_damaged_streams_are_bitstream_errors(name):
    codec = load_codec(name)
    for data in (b"", b"not a stream", codec.encode(_clip(2), {"crf": 30})[:20]):
        with pytest.raises(BitstreamError, match=name):
            codec.decode(data)


def test_a_map_is_refused_and_not_ignored():
    with pytest.raises(ImportanceError, match="x264"):
        load_codec("x264").encode(_clip(1), {"crf": 30}, torch.ones(1, 1, 48, 64))


def _left(clip) -> torch.Tensor:
    mask = torch.zeros(len(clip), 1, *clip.shape[-2:])
    mask[..., : clip.shape[-1] // 2] = 1
    return mask


@pytest.mark.parametrize("name", ROI)
def test_a_map_moves_quality_to_the_important_side(name):
    codec, clip = load_codec(name), _clip(5, 96, 192)
    left = _left(clip)

    def sides(q, alpha):
        decoded = codec.decode(codec.encode(clip, {"crf": 32, "alpha": alpha}, q))
        return _psnr(clip[..., :96], decoded[..., :96]), _psnr(clip[..., 96:], decoded[..., 96:])

    none = sides(None, 1)
    u_alpha = u_from_alpha(26.5)
    to_left, to_right = (sides(weighted_mask(m, u_alpha), 26.5) for m in (left, 1 - left))
    assert to_left[0] > none[0] + 1 and to_left[1] < none[1] - 1
    assert to_right[1] > none[1] + 1 and to_right[0] < none[0] - 1


@pytest.mark.parametrize("name", ROI)
def test_bits_go_to_the_important_side(name):
    """Of a picture that is flat on the right, only what the left costs is left."""
    codec, clip = load_codec(name), _clip(5, 96, 192)
    left = _left(clip)
    clip[..., 96:] = 128
    sizes = [
        len(codec.encode(clip, {"crf": 32, "alpha": 26.5}, weighted_mask(m, u_from_alpha(26.5))))
        for m in (left, 1 - left)
    ]
    assert sizes[0] > 1.3 * sizes[1]


@pytest.mark.parametrize("name", ROI)
def test_alpha_1_is_the_codec_without_map_byte_for_byte(name):
    clip = _clip(6, 47, 64)
    plain, roi = load_codec(name.removesuffix("-roi"), gop=4), load_codec(name, gop=4)
    expected = plain.encode(clip, {"crf": 30})
    assert roi.encode(clip, {"crf": 30, "alpha": 1.0}) == expected
    assert roi.encode(clip, {"crf": 30, "alpha": 1.0}, torch.ones(6, 1, 47, 64)) == expected
    assert {**plain.meta, "delta_qp": roi.meta["delta_qp"]} == roi.meta


@pytest.mark.parametrize("name", ROI)
def test_an_equal_map_shifts_the_quality_of_the_whole_picture(name):
    codec, clip = load_codec(name), _clip(5, 96, 96)
    point, ones = {"crf": 32, "alpha": 26.5}, torch.ones(5, 1, 96, 96)
    sizes = [len(codec.encode(clip, point, q)) for q in (ones, None, u_from_alpha(26.5) * ones)]
    assert sizes[0] > 1.2 * sizes[1] > 1.4 * sizes[2]


@pytest.mark.parametrize("name", ROI)
def test_maps_of_odd_sizes(name):
    codec, clip = load_codec(name), _clip(3, 47, 63)
    data = codec.encode(clip, {"crf": 30, "alpha": 26.5}, weighted_mask(_left(clip), 0.2))
    assert codec.decode(data).shape == clip.shape


def test_operating_points_with_maps_are_crf_with_alpha():
    points = load_codec("x265-roi").points({"crf": [20, 30], "u_alpha": [1.0, 0.0]})
    assert points == [{"crf": c, "alpha": a} for a in (1.0, 60.0) for c in (20.0, 30.0)]


@pytest.mark.parametrize(
    ("importance", "says"),
    [
        (torch.ones(5, 1, 48, 60), "60x48"),
        (torch.ones(4, 1, 48, 64), "4 frames"),
        (torch.full((5, 1, 48, 64), torch.nan), "nan"),
        (torch.full((5, 1, 48, 64), 1.5), "1.5"),
    ],
)
def test_maps_that_do_not_fit_are_errors(importance, says):
    codec, clip, point = load_codec("x264-roi"), _clip(), {"crf": 30, "alpha": 26.5}
    with pytest.raises(ImportanceError, match=says):
        codec.encode(clip, point, importance)
    with pytest.raises(ImportanceError, match=says):
        list(codec.encode_frames(clip, point, iter(importance), fps=Fraction(30), count=5, size=(48, 64)))


def test_a_map_needs_an_alpha():
    with pytest.raises(ConfigError, match="alpha"):
        load_codec("x264-roi").encode(_clip(1), {"crf": 30}, torch.ones(1, 1, 48, 64))


@pytest.mark.parametrize(
    ("kind", "options"),
    [(X264, {"preset": "ultrafast"}), (X264, {"aq-mode": 0}), (X265, {"x265-params": "aq-mode=0:log-level=error"})],
)
def test_options_with_which_a_map_would_be_ignored_are_refused(kind, options):
    kind("custom", options)
    with pytest.raises(ConfigError, match="adaptive quantisation"):
        kind("custom", options, delta_qp=DeltaQp())


@pytest.mark.parametrize("name", ["x264", "x265-roi"])
def test_coding_and_decoding_go_frame_by_frame(name):
    codec, clip, taken = load_codec(name), _clip(8), []
    frames = (taken.append(t) or frame for t, frame in enumerate(clip))
    chunks, parts = codec.encode_frames(frames, {"crf": 30}, fps=Fraction(30), count=8, size=(48, 64)), []
    while sum(map(len, parts)) == 0:
        parts.append(next(chunks))
    assert len(taken) < 3
    parts += chunks
    assert b"".join(parts) == codec.encode(clip, {"crf": 30})
    decoded = codec.decode_frames(b"".join(parts))
    assert next(decoded).shape == (3, 48, 64)
    assert len(list(decoded)) == 7


def test_frames_of_another_size_are_errors_and_not_scaled():
    frames = [*_clip(2), *_clip(1, 48, 60)]
    with pytest.raises(VideoError, match=r"frame 2 .*\[3, 48, 60\]"):
        list(load_codec("x264").encode_frames(frames, {"crf": 30}, fps=Fraction(30), count=3, size=(48, 64)))


def test_frames_before_the_damage_come_out():
    codec, found = load_codec("x264", gop=8), []
    head, *chunks = codec.encode_frames(_clip(8), {"crf": 10}, fps=Fraction(30), count=8, size=(48, 64))
    with pytest.raises(BitstreamError, match="x264"):
        for frame in codec.decode_frames(head + b"".join(chunks[:5]) + chunks[5][: len(chunks[5]) // 2]):
            found.append(frame)
    assert len(found) >= 4


def test_unknown_codec_says_what_there_is():
    with pytest.raises(ConfigError, match=r"x264.*x265"):
        load_codec("x266")
