"""Bad input is one line that names the file; a failure leaves what was there before."""

import io
import subprocess
import sys
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from pvc.errors import VideoError
from pvc.video import VideoWriter, open_video, probe, read_clip, write_clip
from pvc.video.pipe import Pipe
from pvc.video.raw import parse_raw_name


def noise(frames: int = 20, height: int = 32, width: int = 48) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8, generator=generator)


def ffmpeg(*args: object) -> None:
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, args)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def one_line(info: pytest.ExceptionInfo) -> None:
    assert "\n" not in str(info.value) and len(str(info.value)) < 400


@pytest.mark.parametrize("share", [0.4, 0.75, 0.99])
@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("a.mkv", {}),
        ("x264.mkv", {"codec": "libx264", "pix_fmt": "yuv420p", "options": {"g": "5"}}),
        ("a.webm", {}),
        ("a.mp4", {"options": {"g": "5", "bf": "2"}}),
        ("a.y4m", {}),
        ("a_48x32_25.yuv", {}),
    ],
)
def test_a_cut_file_gives_its_whole_frames_then_an_error(tmp_path, name, kwargs, share):
    path = tmp_path / name
    write_clip(path, noise(), 25, **kwargs)
    if path.suffix == ".mp4":  # the index at the front, or nothing of a cut file can be read
        ffmpeg("-i", path, "-c", "copy", "-movflags", "faststart", tmp_path / "b.mp4")
        path = tmp_path / "b.mp4"
    whole, data = read_clip(path), path.read_bytes()
    path.write_bytes(data[: int(len(data) * share) - 7])
    frames = []
    with pytest.raises(VideoError, match=f"{path.name}.*after \\d+ whole frames") as info, open_video(path) as reader:
        for frame in reader:
            frames.append(frame)
    one_line(info)
    assert 3 <= len(frames) < 20 and f"after {len(frames)} whole" in str(info.value)
    assert torch.equal(torch.stack(frames), whole[: len(frames)])
    assert torch.equal(read_clip(path, 0, 3), whole[:3]), "frames before the cut can be had"
    assert torch.equal(read_clip(path, 2, 1), whole[2:3])


class Failing(io.BytesIO):
    """A pipe whose other side fails when there are no more bytes, or after so many of them."""

    def __init__(self, data: bytes = b"", most: int = 0):
        super().__init__(data)
        self.most = most

    def read1(self, count: int = -1) -> bytes:
        data = super().read1(min(count, 1000))  # FFmpeg asks often
        if not data:
            raise OSError(5, "Input/output error")
        return data

    def write(self, data: bytes) -> int:
        if self.tell() > self.most:
            raise OSError(28, "No space left on device")
        return super().write(data)

    def isatty(self) -> bool:
        return False

    @property
    def buffer(self) -> io.BytesIO:
        return self


@pytest.mark.parametrize("share", [0, 0.001, 0.4, 1])
@pytest.mark.parametrize("kind", ["y4m", "mkv"])
def test_a_pipe_that_fails_gives_its_whole_frames_then_its_error(tmp_path, kind, share, monkeypatch, capfd):
    path = tmp_path / f"a.{kind}"
    write_clip(path, noise(), 25)
    whole, data, frames = read_clip(path), path.read_bytes(), []
    monkeypatch.setattr(sys, "stdin", Failing(data[: int(len(data) * share)]))
    with pytest.raises(VideoError, match=r"^standard input: .*Input/output error") as info, open_video("-") as reader:
        for frame in reader:
            frames.append(frame)
    one_line(info)
    assert not frames or f"after {len(frames)} whole frames" in str(info.value)
    assert (len(frames) > 3) == (share >= 0.4) and all(torch.equal(a, b) for a, b in zip(frames, whole))
    assert capfd.readouterr().err == ""


def test_a_full_disk_behind_a_pipe_is_one_line(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdout", out := Failing(most=20_000))
    with pytest.raises(VideoError, match=r"-: cannot write .No space left on device") as info:
        write_clip("-", noise(), 25)
    one_line(info)
    assert 20_000 < len(out.getvalue()) < 40_000 and capfd.readouterr().err == ""


def test_the_error_of_a_pipe_is_not_forgotten():
    pipe = Pipe(Failing(bytes(10)))
    assert [pipe.read(20), pipe.read(20), pipe.read(20), pipe.taken] == [bytes(10), b"", b"", 10]
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            pipe.check()


def test_raw_names():
    def said(name):
        r = parse_raw_name(type("P", (), {"stem": name}))
        return r.width, r.height, r.fps, r.pix_fmt

    assert said("BasketballPass_416x240_50") == (416, 240, 50, "yuv420p")
    assert said("Nebuta_2560x1600_60_10bit_crop") == (2560, 1600, 60, "yuv420p10le")
    assert said("Beauty_1920x1080_120fps_420_10bit_YUV") == (1920, 1080, 120, "yuv420p10le")
    assert said("Jockey_1920x1080_120fps_420_8bit_YUV") == (1920, 1080, 120, "yuv420p")
    assert said("videoSRC05_1920x1080_29.97") == (1920, 1080, Fraction(30000, 1001), "yuv420p")
    assert said("x_64x48_30_yuv444p10le") == (64, 48, 30, "yuv444p10le")
    assert said("x_64x48_420") == (64, 48, None, "yuv420p")
    assert said("video") == (None, None, None, "yuv420p")


def test_arguments_say_what_a_raw_name_does_not(tmp_path):
    write_clip(tmp_path / "clip.yuv", noise(3), 25, pix_fmt="yuv444p10le")
    said = {"width": 48, "height": 32, "fps": 50, "pix_fmt": "yuv444p10le"}
    assert probe(tmp_path / "clip.yuv", **said).frames == 3
    assert (read_clip(tmp_path / "clip.yuv", **said).float() - noise(3)).abs().mean() < 0.1
    for missing, message in [("width", "unknown frame size"), ("fps", "unknown frame rate")]:
        with pytest.raises(VideoError, match=message) as info:
            read_clip(tmp_path / "clip.yuv", **{k: v for k, v in said.items() if k != missing})
        one_line(info)
    with pytest.raises(VideoError, match="unknown pixel format 'yuv9'"):
        read_clip(tmp_path / "clip.yuv", **said | {"pix_fmt": "yuv9"})


def test_unreadable_input(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.mp4").touch()
    (tmp_path / "nothing_16x16_25.yuv").touch()
    (tmp_path / "text.mkv").write_text("no video " * 100)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    (tmp_path / "mixed").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "mixed" / "1.png")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "mixed" / "1.jpg")
    for name in ("absent.mp4", "empty", "nothing.mp4", "nothing_16x16_25.yuv", "text.mkv", "broken", "mixed"):
        with pytest.raises(VideoError, match=name) as info:
            read_clip(tmp_path / name)
        one_line(info)


def test_a_truncated_picture_names_itself(tmp_path):
    path = tmp_path / "1.png"
    Image.fromarray(noise(1, 64, 64)[0].permute(1, 2, 0).numpy()).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(VideoError, match=r"1\.png"):
        read_clip(tmp_path)


def test_arguments_that_contradict_the_file(tmp_path):
    write_clip(tmp_path / "a.mkv", noise(2), 25)
    for wrong in ({"width": 64}, {"pix_fmt": "yuv420p"}, {"matrix": "bt9"}, {"fps": -1}):
        with pytest.raises(VideoError):
            read_clip(tmp_path / "a.mkv", **wrong)
    for start, count in ((-1, None), (0, 0)):
        with pytest.raises(VideoError):
            read_clip(tmp_path / "a.mkv", start, count)


def test_a_trimmed_file_shows_only_what_it_plays(tmp_path):
    """An edit list hides frames that the container still counts."""
    write_clip(tmp_path / "a.mp4", noise(), 25, options={"g": "10", "qp": "0"}, pix_fmt="yuv444p")
    ffmpeg("-ss", "0.2", "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    whole, trimmed = read_clip(tmp_path / "a.mp4"), read_clip(tmp_path / "b.mp4")
    assert probe(tmp_path / "b.mp4").frames == len(trimmed) == 15
    assert torch.equal(trimmed, whole[5:])
    assert torch.equal(read_clip(tmp_path / "b.mp4", 3, 2), whole[8:10])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_clip_is_read_upright(tmp_path, degrees):
    """As FFmpeg turns it, which phones' clips rely on."""
    write_clip(tmp_path / "a.mp4", noise(2), 25, options={"qp": "0"}, pix_fmt="yuv444p")
    ffmpeg("-display_rotation", degrees, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    ffmpeg("-i", tmp_path / "b.mp4", "-pix_fmt", "yuv444p", "-c:v", "ffv1", tmp_path / "c.mkv")
    upright, info = read_clip(tmp_path / "c.mkv", matrix="bt601"), probe(tmp_path / "b.mp4")
    assert torch.equal(read_clip(tmp_path / "b.mp4"), upright)
    assert (info.height, info.width) == tuple(upright.shape[-2:])


# --- writing


def test_a_failure_keeps_what_was_there(tmp_path):
    for name in ("a.mkv", "folder"):
        path = tmp_path / name
        if name == "a.mkv":
            write_clip(path, noise(2), 25)
        before = read_clip(path) if path.exists() else None
        with pytest.raises(KeyboardInterrupt), VideoWriter(path, width=48, height=32, fps=25) as writer:
            writer.write(noise(1)[0])
            raise KeyboardInterrupt
        assert before is None or torch.equal(read_clip(path), before)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


def test_unwritable_targets(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    (tmp_path / "folder.mkv").mkdir()
    (tmp_path / "file").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    cases = [
        ("a.gif", {}, "cannot write .gif"),
        ("absent/a.mkv", {}, "make it first"),
        ("full", {}, "not empty"),
        ("file", {}, "is a file"),
        ("folder.mkv", {}, "is a folder"),
        ("a_64x64_25.yuv", {}, "the name says 64x64"),
        ("a.mkv", {"codec": "no-such-codec"}, "no-such-codec"),
        ("a.mkv", {"pix_fmt": "no-such-format"}, "no-such-format"),
        ("a.mkv", {"matrix": "bt9"}, "unknown colour matrix"),
        ("a.mp4", {"options": {"preset": "no-such-preset"}}, "cannot write"),
    ]
    for name, kwargs, message in cases:
        with pytest.raises(VideoError, match=message) as info:
            write_clip(tmp_path / name, noise(1), 25, **kwargs)
        one_line(info)
        assert sorted(tmp_path.rglob("*")) == before, name


def test_frames_of_another_size_and_no_frames(tmp_path):
    with pytest.raises(VideoError, match="frame 1 is 48x30, the clip is 48x32"):  # noqa: SIM117
        with VideoWriter(tmp_path / "a.mkv", width=48, height=32, fps=25) as writer:
            writer.write(noise(1)[0])
            writer.write(noise(1, 30)[0])
    with pytest.raises(VideoError, match="no frames"):
        write_clip(tmp_path / "a.mkv", noise(0), 25)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_keeps_what_was_there(tmp_path):
    """A limit on the size of files stands in for the disk."""
    names = ["a.mkv", "a.mp4", "a.y4m", "a.webm", "folder"]
    for name in names[:-1]:
        write_clip(tmp_path / name, noise(1), 25)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    program = f"""
import resource, signal, torch
from pvc.errors import VideoError
from pvc.video import write_clip
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for name in {names}:
    try:
        write_clip({str(tmp_path)!r} + "/" + name, torch.randint(0, 256, (9, 3, 128, 128), dtype=torch.uint8), 25)
    except VideoError as e:
        print(e)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == len(names)
    for name, line in zip(names, lines, strict=True):
        assert line == f"{tmp_path / name}: cannot write (File too large)"
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_folder_without_permission(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    try:
        (tmp_path / "locked" / "try").touch()
    except PermissionError:
        pass
    else:
        pytest.skip("this user may write anywhere")
    with pytest.raises(VideoError, match="Permission denied"):
        write_clip(tmp_path / "locked" / "a.mkv", noise(1), 25)
