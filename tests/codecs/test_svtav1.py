"""SVT-AV1: what goes in comes out, the bytes are the bits, and no option is dropped without a word."""

import io
import json
import os
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from pvc.codecs import load_codec
from pvc.codecs.svtav1 import SvtAv1
from pvc.errors import BitstreamError, ConfigError, ImportanceError, VideoError
from pvc.video import VideoWriter
from tests.codecs.pictures import moving_texture, psnr

ALL = ["svtav1", "svtav1-medium"]
LOW_DELAY = "pred-struct=1:keyint={gop}:lp=1"


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (33, 35), (5, 4)])
def test_decoding_gives_the_clip_back_and_fewer_bits_give_less(name, size):
    codec, clip = load_codec(name, gop=4), moving_texture(5, *size)
    streams = [codec.encode(clip, {"crf": crf}) for crf in (10, 55)]
    decoded = [codec.decode(stream) for stream in streams]
    assert all(d.shape == clip.shape and d.dtype == torch.uint8 for d in decoded)
    assert len(streams[0]) > len(streams[1])
    assert psnr(clip, decoded[0]) > psnr(clip, decoded[1])
    assert psnr(clip, decoded[0]) > 32
    assert psnr(clip[..., -1, :], decoded[0][..., -1, :]) > 28  # the last row is picture


def test_crf_0_is_the_best_quality_and_not_the_encoders_default():
    codec, clip = load_codec("svtav1"), moving_texture(2)
    assert len(codec.encode(clip, {"crf": 0})) > len(codec.encode(clip, {"crf": 1}))


@pytest.mark.parametrize("name", ALL)
def test_same_input_same_bytes(name):
    clip = moving_texture(6)
    assert load_codec(name).encode(clip, {"crf": 30}) == load_codec(name).encode(clip, {"crf": 30})


@pytest.mark.parametrize("gop", [1, 4])
def test_low_delay_has_one_key_frame_a_gop_and_holds_no_frame_back(gop):
    clip = torch.cat([moving_texture(5), 255 - moving_texture(5)])  # a scene cut inside the second GOP
    data = load_codec("svtav1", gop=gop).encode(clip, {"crf": 30})
    with av.open(io.BytesIO(data), format="obu") as container:
        assert [frame.key_frame for frame in container.decode(video=0)] == [t % gop == 0 for t in range(10)]
    with av.open(io.BytesIO(data), format="obu") as container:
        shown = [packet.size for packet in container.demux(video=0) if packet.size]
    assert len(shown) == 10  # a temporal unit for each frame


def test_frames_are_taken_as_they_are_needed():
    taken = []

    def frames():
        for t, frame in enumerate(moving_texture(40)):
            taken.append(t)
            yield frame

    chunks = load_codec("svtav1").encode_frames(frames(), {"crf": 40}, fps=Fraction(30), count=40, size=(48, 64))
    assert next(chunk for chunk in chunks if chunk)
    assert len(taken) < 10
    rest = sum(1 for chunk in chunks if chunk)
    assert len(taken) == 40 and rest > 25


def test_stream_is_tagged_with_matrix_and_range():
    for height, colorspace in ((48, 5), (720, 1)):
        data = load_codec("svtav1").encode(moving_texture(1, height, 64), {"crf": 45}, fps=Fraction(30000, 1001))
        with av.open(io.BytesIO(data), format="obu") as container:
            frame = next(container.decode(video=0))
            assert (int(frame.colorspace), int(frame.color_range)) == (colorspace, 1)
    codec = SvtAv1("full", {"svtav1-params": LOW_DELAY}, matrix="bt709", full_range=True)
    clip = moving_texture(1)
    assert psnr(codec.decode(codec.encode(clip, {"crf": 10})), clip) > 38


def test_record_says_what_decides_the_bits():
    codec = load_codec("svtav1", gop=32)
    assert codec.points({"crf": [0, 20.25, 63]}) == [{"crf": 0.0}, {"crf": 20.25}, {"crf": 63.0}]
    assert (codec.name, codec.gop, codec.supports_importance) == ("svtav1", 32, False)
    assert "keyint=32" in json.loads(json.dumps(codec.meta))["options"]["svtav1-params"]
    assert load_codec("svtav1-medium", gop=32).gop == 250


@pytest.mark.parametrize("crf", [[], [-1], [64], [20.3], ["low"], [30, 30], None])
def test_bad_crf_is_an_error_that_names_it(crf):
    with pytest.raises(ConfigError, match="crf"):
        load_codec("svtav1").points({"crf": crf})


@pytest.mark.parametrize("params", ["", "lp=1", "keyint=5s", "keyint=0"])
def test_options_without_a_gop_in_frames_are_refused(params):
    with pytest.raises(ConfigError, match="keyint"):
        SvtAv1("mine", {"svtav1-params": params})


@pytest.mark.parametrize("option", ["pred_structure=1", "pred-struct=7"])
def test_an_option_that_the_encoder_does_not_take_is_an_error(option):
    codec = SvtAv1("mine", {"svtav1-params": f"keyint=4:{option}"})
    with pytest.raises(ConfigError, match=option.split("=")[0]):
        codec.encode(moving_texture(1), {"crf": 30})


@pytest.mark.skipif(sys.platform != "linux", reason="about Linux's threads")
def test_no_thread_becomes_a_real_time_one(tmp_path):
    """Where root runs it the encoder asks for that, and nothing else on the machine would go on beside it."""
    before, found = os.sched_getscheduler(0), []
    codec, clip = load_codec("svtav1"), moving_texture(2)
    coding = codec.encode_frames(clip, {"crf": 40}, fps=Fraction(25), count=2, size=(48, 64))
    next(coding)
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            found.append(os.sched_getscheduler(int(thread.name)))
    assert len(found) > 1 and set(found) == {before}
    list(coding)
    writer = VideoWriter(tmp_path / "clip.mkv", width=64, height=48, fps=25, codec="libsvtav1", pix_fmt="yuv420p")
    assert os.sched_getscheduler(0) == before
    writer.discard()


def test_damaged_streams_are_bitstream_errors_after_the_whole_frames():
    codec, clip = load_codec("svtav1", gop=8), moving_texture(6)
    data = codec.encode(clip, {"crf": 20})
    for damaged in (b"", b"not a stream", data[:20]):
        with pytest.raises(BitstreamError, match="svtav1"):
            codec.decode(damaged)
    frames = codec.decode_frames(data[:-10])
    first = [next(frames) for _ in range(4)]
    assert psnr(torch.stack(first), clip[:4]) > 35
    with pytest.raises(BitstreamError, match="cut short"):
        list(frames)


def test_what_it_cannot_code_is_refused():
    codec = load_codec("svtav1")
    with pytest.raises(ImportanceError, match="svtav1"):
        codec.encode(moving_texture(1), {"crf": 30}, torch.ones(1, 1, 48, 64))
    with pytest.raises(VideoError, match="2x2"):
        codec.encode(moving_texture(1, 2, 2), {"crf": 30})
    with pytest.raises(VideoError, match="frame 0"):
        list(codec.encode_frames([torch.zeros(3, 8, 8)], {"crf": 30}, fps=Fraction(30), count=1, size=(8, 8)))
    with pytest.raises(ConfigError, match="crf"):
        codec.encode(moving_texture(1), {"qp": 30})
