"""The command in a record, run by FFmpeg on the same frames, is the codec: who has the record needs no pvc."""

import subprocess
from fractions import Fraction

import pytest

from pvc.codecs import load_codec
from pvc.errors import ConfigError
from pvc.video import to_yuv420p
from pvc.video.ffmpeg_binary import ffmpeg_binary
from tests.codecs.pictures import moving_texture, psnr


@pytest.mark.parametrize("name", ["x264", "x264-cpvc", "x264-medium", "x265", "x265-medium", "svtav1"])
def test_ffmpeg_runs_the_recorded_command_to_the_same_stream(name, tmp_path):
    try:
        binary, _ = ffmpeg_binary("encoders", f"lib{name.split('-')[0]}")
    except ConfigError as missing:
        pytest.skip(str(missing))
    codec, clip = load_codec(name, gop=8), moving_texture(10, 96, 128)
    places = {"{WIDTH}x{HEIGHT}": "128x96", "{FPS}": "25", "{MATRIX}": "bt470bg", "{CRF}": "31"}
    command = codec.meta["command"]
    for place, value in places.items():
        assert place in command
        command = command.replace(place, value)
    frames = b"".join(plane.numpy().tobytes() for frame in clip for plane in to_yuv420p(frame[None]))
    subprocess.run([binary, *command.split()[1:]], input=frames, cwd=tmp_path, check=True)
    theirs, ours = (tmp_path / "stream").read_bytes(), codec.encode(clip, {"crf": 31}, fps=Fraction(25))
    # Bit for bit with the same versions of the encoders; the binary may have others than PyAV.
    assert len(theirs) == pytest.approx(len(ours), rel=0.05)
    assert psnr(codec.decode(theirs), clip) == pytest.approx(psnr(codec.decode(ours), clip), abs=0.3)
