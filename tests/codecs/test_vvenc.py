"""VVenC through FFmpeg: what goes in comes out, the bytes are the bits, and the process never outlives its clip."""

import io
import json
import subprocess
from fractions import Fraction

import av
import pytest
import torch
from av.video.frame import PictureType

from pvc.codecs import load_codec
from pvc.codecs.vvenc import VVenC
from pvc.errors import BitstreamError, ConfigError, ImportanceError, VideoError
from pvc.video import ffmpeg_binary
from tests.codecs.pictures import moving_texture, psnr

ALL = ["vvenc", "vvenc-cpvc", "vvenc-medium"]
FASTER = "vvenc-cpvc"
KEYS = {7, 8, 9}  # IDR_W_RADL, IDR_N_LP, CRA
ARGUMENTS = VVenC._arguments
SEI, DELIMITER = {23, 24}, {20}


def _units(data: bytes) -> list[int]:
    """NAL unit types of an Annex B stream."""
    return [data[i + 4] >> 3 for i in range(len(data) - 4) if data[i : i + 3] == b"\0\0\1"]


@pytest.fixture
def processes(monkeypatch):
    """The processes that were started."""
    started, popen = [], subprocess.Popen

    def start(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_decoding_gives_the_clip_back_and_fewer_bits_give_less(name, size):
    codec, clip = load_codec(name, gop=4), moving_texture(5, *size)
    streams = [codec.encode(clip, {"qp": qp}) for qp in (12, 42)]
    decoded = [codec.decode(stream) for stream in streams]
    assert all(d.shape == clip.shape and d.dtype == torch.uint8 for d in decoded)
    assert len(streams[0]) > 1.5 * len(streams[1])
    assert psnr(clip, decoded[0]) > psnr(clip, decoded[1]) + 3
    assert psnr(clip, decoded[0]) > 40
    assert psnr(clip[..., -1, :], decoded[0][..., -1, :]) > 35  # the last row is picture


def test_same_input_same_bytes():
    clip = moving_texture(6)
    assert load_codec(FASTER).encode(clip, {"qp": 30}) == load_codec(FASTER).encode(clip, {"qp": 30})


@pytest.mark.parametrize("gop", [1, 4, 12])
def test_low_delay_has_one_key_frame_a_gop_and_codes_in_order(gop):
    clip = torch.cat([moving_texture(7), 255 - moving_texture(7)])  # a scene cut inside a GOP
    data = load_codec(FASTER, gop=gop).encode(clip, {"qp": 35})
    coded = [unit for unit in _units(data) if unit <= 11]  # pictures have types 0 to 11, here in coding order
    assert [unit in KEYS for unit in coded] == [t % gop == 0 for t in range(14)]
    with av.open(io.BytesIO(data), format="vvc") as container:
        kinds = [PictureType(frame.pict_type).name for frame in container.decode(video=0)]
    assert [kind == "I" for kind in kinds] == [t % gop == 0 for t in range(14)]


def test_stream_has_no_sei_and_no_delimiters():
    units = set(_units(load_codec(FASTER).encode(moving_texture(3), {"qp": 35})))
    assert not units & (SEI | DELIMITER)
    odd = _units(load_codec(FASTER).encode(moving_texture(3, 47, 64), {"qp": 35}))
    assert [unit for unit in odd if unit in SEI] == [23]  # the one that remembers the odd size


def test_stream_is_tagged_with_matrix_and_range():
    for height, colorspace in ((48, 6), (720, 1)):
        data = load_codec(FASTER).encode(moving_texture(1, height, 64), {"qp": 45}, fps=Fraction(30000, 1001))
        with av.open(io.BytesIO(data), format="vvc") as container:
            frame = next(container.decode(video=0))
            assert (int(frame.colorspace), int(frame.color_range)) == (colorspace, 1)
    codec = VVenC("other", {"preset": "faster", "vvenc-params": "IntraPeriod=1:Threads=0"}, matrix="bt2020")
    clip = moving_texture(1)
    assert psnr(codec.decode(codec.encode(clip, {"qp": 10})), clip) > 40


def test_frames_are_taken_one_by_one_and_errors_among_them_end_the_process(processes):
    def frames():
        yield moving_texture(1)[0]
        assert processes[0].poll() is None  # it runs while the second frame is made
        raise VideoError("the file ends here")

    coded = load_codec(FASTER).encode_frames(frames(), {"qp": 40}, fps=Fraction(30), count=2, size=(48, 64))
    assert not processes  # nothing happens before the first chunk is asked for
    with pytest.raises(VideoError, match="the file ends here"):
        list(coded)
    assert processes[0].poll() is not None


def test_ctrl_c_ends_the_process(processes):
    def frames():
        yield moving_texture(1)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(load_codec(FASTER).encode_frames(frames(), {"qp": 40}, fps=Fraction(30), count=2, size=(48, 64)))
    assert processes[0].poll() is not None


def test_a_process_that_is_killed_is_an_error(processes):
    def frames():
        for frame in moving_texture(60, 240, 416):
            yield frame
            processes[0].kill()

    with pytest.raises(VideoError, match=r"416x240 at qp 40: exit code -9"):
        list(load_codec(FASTER).encode_frames(frames(), {"qp": 40}, fps=Fraction(30), count=60, size=(240, 416)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": "faster", "vvenc-params": "IntraPeriod=4:LowDelay=1"}, "Unknown vvenc option: LowDelay"),
        ({"preset": "faster", "vvenc-params": "IntraPeriod=4:PicReordering=0"}, "refresh type"),
        ({"prset": "faster", "vvenc-params": "IntraPeriod=4"}, "prset"),
    ],
)
def test_what_the_encoder_says_is_in_the_error(options, said):
    with pytest.raises(VideoError, match=said) as error:
        VVenC("mine", options).encode(moving_texture(1), {"qp": 30})
    assert "\n" not in str(error.value) and " @ 0x" not in str(error.value)


def test_without_the_encoder_there_is_one_clear_error(monkeypatch):
    from imageio_ffmpeg import get_ffmpeg_exe

    real = get_ffmpeg_exe()
    ffmpeg_binary.ffmpeg_binary.cache_clear()
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/nowhere/ffmpeg")
    with pytest.raises(ConfigError, match="imageio-ffmpeg"):
        VVenC("mine", {"vvenc-params": "IntraPeriod=4"})
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", real)
    monkeypatch.setattr(ffmpeg_binary, "_output", lambda binary, argument: "ffmpeg version 4 libx264")
    with pytest.raises(ConfigError, match="no libvvenc"):
        VVenC("mine", {"vvenc-params": "IntraPeriod=4"})


def test_record_has_the_whole_command():
    codec = load_codec("vvenc-cpvc", gop=32)
    assert codec.points({"qp": [29, 32]}) == [{"qp": 29.0}, {"qp": 32.0}]
    assert (codec.name, codec.gop, codec.supports_importance) == ("vvenc-cpvc", 32, False)
    command = json.loads(json.dumps(codec.meta))["command"]
    assert command.startswith("ffmpeg ") and "-qp {QP}" in command and "{WIDTH}x{HEIGHT}" in command
    assert "IntraPeriod=32" in command and "-preset faster" in command and "Threads=0" in command
    assert load_codec("vvenc-medium", gop=32).gop == 256


@pytest.mark.parametrize("qp", [[], [-1], [64], [29.5], ["low"], [30, 30], None])
def test_bad_qp_is_an_error_that_names_it(qp):
    with pytest.raises(ConfigError, match="qp"):
        load_codec("vvenc").points({"qp": qp})


def test_options_without_a_gop_are_refused():
    with pytest.raises(ConfigError, match="IntraPeriod"):
        VVenC("mine", {"preset": "faster", "vvenc-params": "GOPSize=32"})


def test_damaged_streams_are_bitstream_errors_after_the_whole_frames():
    codec, clip = load_codec(FASTER, gop=8), moving_texture(6)
    data = codec.encode(clip, {"qp": 20})
    for damaged in (b"", b"not a stream", data[:20], data[: len(data) // 4]):
        with pytest.raises(BitstreamError, match="vvenc"):
            codec.decode(damaged)
    frames = codec.decode_frames(data[: len(data) - 40])
    assert psnr(next(frames), clip[0]) > 35
    with pytest.raises(BitstreamError, match="vvenc"):
        list(frames)


def test_a_stream_that_lacks_pictures_is_an_error(monkeypatch):
    monkeypatch.setattr(
        VVenC, "_arguments", lambda self, *a: [*ARGUMENTS(self, *a)[:-1], "-frames:v", "2", "stream.266"]
    )
    with pytest.raises(VideoError, match="coded 2 of 3 frames"):
        load_codec(FASTER).encode(moving_texture(3), {"qp": 30})


def test_what_it_cannot_code_is_refused():
    codec = load_codec(FASTER)
    with pytest.raises(ImportanceError, match="vvenc"):
        codec.encode(moving_texture(1), {"qp": 30}, torch.ones(1, 1, 48, 64))
    with pytest.raises(VideoError, match="4x4"):
        codec.encode(moving_texture(1, 4, 4), {"qp": 30})
    with pytest.raises(VideoError, match="frame 0"):
        list(codec.encode_frames([torch.zeros(3, 8, 8)], {"qp": 30}, fps=Fraction(30), count=1, size=(8, 8)))
    with pytest.raises(ConfigError, match="qp"):
        codec.encode(moving_texture(1), {"crf": 30})
