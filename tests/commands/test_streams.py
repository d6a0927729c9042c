""".pvc files as a user has them: cut, damaged, long, in a pipe, wanted from the middle."""

import _thread
import io
import json
import operator
import os
import signal
import subprocess
import sys
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import psutil
import pytest
import torch

from pvc.cli import main
from pvc.entropy.container import Header
from pvc.entropy.reader import StreamReader
from pvc.entropy.writer import StreamWriter
from pvc.models.checkpoint import save_model
from pvc.video import VideoWriter, probe, read_clip, write_clip, write_map
from pvc.video.pipe import Pipe
from tests.models.conftest import make, wake
from tests.processes import Command

FRAMES, HEIGHT, WIDTH, GOP = 8, 40, 56, 3


def picture(t: int, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """Frame ``t`` of a moving pattern."""
    x, y = torch.arange(width), torch.arange(height)[:, None]
    return torch.stack([(3 * x + 5 * t + 0 * y) % 256, (2 * y + x + 9 * t) % 256, (x + y + 7 * t) % 256]).byte()


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a model, ``in.mkv``, its stream ``a.pvc`` and that stream decoded, ``a.mkv``."""
    folder = tmp_path_factory.mktemp("made")
    save_model(wake(make("patch", multirate=True, roi=True)), folder / "small.safetensors")
    write_clip(folder / "in.mkv", torch.stack([picture(t) for t in range(FRAMES)]), Fraction(25))
    encode(folder, folder / "in.mkv", folder / "a.pvc")
    main(["decode", str(folder / "a.pvc"), "-o", str(folder / "a.mkv"), *model(folder)])
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def model(folder: Path) -> list[str]:
    return ["--model", str(folder / "small.safetensors")]


def encode(folder: Path, source: str | Path, target: str | Path, *more: str) -> None:
    rate = ["--beta", "1e-3", "--gop", str(GOP)]
    main(["encode", str(source), "-o", str(target), *model(folder), *rate, *more])


def ends(code: int, *args: str, capsys) -> str:
    """The last line on stderr of a command that exits with ``code``."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(list(args))
    assert done.value.code == code
    return capsys.readouterr().err.splitlines()[-1]


def damaged(made: Path, frame: int) -> Path:
    """The stream with one bit of frame ``frame`` flipped, as ``bad.pvc``."""
    data = (made / "a.pvc").read_bytes()
    coded = [f.data for f in StreamReader(data).frames()]
    at = data.index(coded[frame]) + len(coded[frame]) // 2
    Path("bad.pvc").write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    return Path("bad.pvc")


def test_a_cut_stream_leaves_its_whole_frames_in_the_output(made, capsys):
    data = (made / "a.pvc").read_bytes()
    Path("cut.pvc").write_bytes(data[: len(data) * 2 // 3])
    said = ends(2, "decode", "cut.pvc", "-o", "out.mkv", *model(made), capsys=capsys)
    have = read_clip("out.mkv")
    assert f"cut.pvc: the stream ends at frame {len(have)} of {FRAMES}" in said and "out.mkv" in said
    assert 3 <= len(have) < FRAMES and torch.equal(have, read_clip(made / "a.mkv")[: len(have)])


def test_a_stream_without_a_whole_frame_leaves_what_was_there(made, capsys):
    Path("out.mkv").write_bytes(b"before")
    bad = str(damaged(made, 0))
    assert "bad.pvc: " in ends(2, "decode", bad, "-o", "out.mkv", *model(made), capsys=capsys)
    assert Path("out.mkv").read_bytes() == b"before"
    assert sorted(p.name for p in Path().iterdir()) == ["bad.pvc", "out.mkv"]


@pytest.mark.parametrize(("hit", "lost"), [(0, [0, 1, 2]), (4, [4, 5]), (7, [7])])
def test_concealing_keeps_time_and_says_how_many_frames_it_made_up(made, hit, lost, capsys):
    args = [str(damaged(made, hit)), "-o", "out.mkv", *model(made)]
    said = ends(1, "decode", *args, "--conceal", capsys=capsys)
    assert f"{len(lost)} of {FRAMES} frames were made up, the first is frame {lost[0]}" in said
    got, whole = read_clip("out.mkv"), read_clip(made / "a.mkv")
    assert len(got) == FRAMES
    for t in range(FRAMES):
        expected = whole[t] if t not in lost else whole[lost[0] - 1] if lost[0] else torch.full_like(whole[0], 128)
        assert torch.equal(got[t], expected)


def test_concealing_a_whole_stream_is_decoding_it(made):
    main(["decode", str(made / "a.pvc"), "-o", "out.mkv", *model(made), "--conceal"])
    assert torch.equal(read_clip("out.mkv"), read_clip(made / "a.mkv"))


@pytest.mark.parametrize(("start", "count"), [(0, 2), (1, 4), (3, 1), (5, 9), (7, None)])
@pytest.mark.parametrize("index", [True, False])
def test_any_frames_can_be_decoded_alone(made, start, count, index, capsys):
    data = (made / "a.pvc").read_bytes()
    if not index:
        data = data[:-1] + b"\xff"  # the length by which the index is found
    Path("b.pvc").write_bytes(data)
    args = ["decode", "b.pvc", "-o", "out.mkv", *model(made), "--from", str(start)]
    if index or (count and start + count < FRAMES):
        main([*args, *(["--frames", str(count)] if count else [])])
    else:
        ends(2, *args, capsys=capsys)  # it comes to the damaged end, and says so
    end = None if count is None else start + count
    assert torch.equal(read_clip("out.mkv"), read_clip(made / "a.mkv")[start:end])


def test_frames_that_are_not_there_are_refused(made, capsys):
    said = ends(2, "decode", str(made / "a.pvc"), "-o", "out.mkv", *model(made), "--from", "8", capsys=capsys)
    assert "there is no frame 8, the stream has 8" in said and not Path("out.mkv").exists()


class Standard:
    """Bytes as standard input, and what standard output got."""

    def __init__(self, monkeypatch, data: bytes):
        pipe = io.BytesIO(data)
        pipe.seekable = lambda: False
        self.out = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(pipe))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(self.out, write_through=True))


@pytest.mark.parametrize("kind", ["y4m", "mkv", "webm", "raw"])
def test_pipes_give_what_files_give(made, kind, monkeypatch):
    """A clip into the encoder, its stream into the decoder; that stream only does not say its length before."""
    name, raw = f"in.{kind}", []
    if kind == "raw":
        name, raw = f"in_{WIDTH}x{HEIGHT}_25.yuv", ["--size", f"{WIDTH}x{HEIGHT}", "--fps", "25"]
    write_clip(name, read_clip(made / "in.mkv"), Fraction(25))
    encode(made, name, "file.pvc")
    pipe = Standard(monkeypatch, Path(name).read_bytes())
    encode(made, "-", "-", *raw)
    stream = pipe.out.getvalue()
    here, there = StreamReader(stream), StreamReader(Path("file.pvc").read_bytes())
    assert (here.header.frames, there.header.frames) == (None, FRAMES)
    assert list(here.frames()) == list(there.frames()) and here.count == FRAMES

    main(["decode", "file.pvc", "-o", "file.y4m", *model(made)])
    pipe = Standard(monkeypatch, stream)
    main(["decode", "-", "-o", "-", *model(made)])
    assert pipe.out.getvalue() == Path("file.y4m").read_bytes()

    pipe = Standard(monkeypatch, stream)
    main(["decode", "-", "-o", "part.mkv", *model(made), "--from", "4", "--frames", "2"])
    main(["decode", "file.pvc", "-o", "file.mkv", *model(made)])
    assert torch.equal(read_clip("part.mkv"), read_clip("file.mkv")[4:6])


@pytest.mark.parametrize("kind", ["y4m", "mkv"])
def test_a_clip_that_breaks_off_in_a_pipe_is_an_error(made, kind, monkeypatch, capsys):
    write_clip(f"in.{kind}", read_clip(made / "in.mkv"), Fraction(25))
    Standard(monkeypatch, Path(f"in.{kind}").read_bytes()[:-700])
    rate = ["--beta", "1e-3"]
    with pytest.raises(SystemExit) as done:
        main(["encode", "-", "-o", "out.pvc", *model(made), *rate])
    assert done.value.code == 2 and not Path("out.pvc").exists()
    assert "standard input: " in capsys.readouterr().err


def test_a_map_for_a_pipe_has_as_many_frames(made, monkeypatch, capsys):
    write_clip("in.y4m", read_clip(made / "in.mkv"), Fraction(25))
    for count in (FRAMES - 1, FRAMES, FRAMES + 1):
        write_map("map.mkv", torch.ones(count, 1, HEIGHT, WIDTH), Fraction(25))
        Standard(monkeypatch, Path("in.y4m").read_bytes())
        if count == FRAMES:
            encode(made, "-", "out.pvc", "--importance", "map.mkv")
            assert Path("out.pvc").exists()
            Path("out.pvc").unlink()
            continue
        with pytest.raises(SystemExit) as done:
            encode(made, "-", "out.pvc", "--importance", "map.mkv")
        assert done.value.code == 2 and not Path("out.pvc").exists()
        assert f"{count} frames" in capsys.readouterr().err or count > FRAMES


def test_all_intra(made, capsys):
    encode(made, made / "in.mkv", "out.pvc", "--gop", "1")
    assert all(frame.key for frame in StreamReader(Path("out.pvc").read_bytes()).frames())


@pytest.mark.parametrize(("matrix", "full_range"), [("bt601", False), ("bt709", True), ("bt2020", False)])
def test_the_colour_of_the_source_is_that_of_the_decoded_file(made, matrix, full_range):
    about = {"pix_fmt": "yuv444p", "matrix": matrix, "full_range": full_range}
    write_clip("in.mp4", read_clip(made / "in.mkv")[:2], Fraction(25), **about)
    encode(made, "in.mp4", "out.pvc")
    main(["decode", "out.pvc", "-o", "out.mp4", *model(made)])
    info = probe("out.mp4")
    assert (info.matrix, info.full_range) == (matrix, full_range)
    main(["decode", "out.pvc", "-o", "out.mkv", *model(made)])
    write_clip("same.mp4", read_clip("out.mkv"), Fraction(25), matrix=matrix, full_range=full_range)
    assert torch.equal(read_clip("out.mp4"), read_clip("same.mp4"))


def said(capsys, *args: str) -> dict:
    capsys.readouterr()
    main(["info", *args, "--json"])
    return json.loads(capsys.readouterr().out)


def test_info_says_what_a_stream_holds(made, capsys):
    found = said(capsys, str(made / "a.pvc"))
    assert found["bytes"] == (made / "a.pvc").stat().st_size
    assert (found["frames"], found["frames_whole"], found["whole"]) == (FRAMES, FRAMES, True)
    assert (found["key_frames"], found["gop_longest"], found["gop_shortest"]) == (3, GOP, FRAMES - 2 * GOP)
    assert found["beta_least"] == pytest.approx(5e-4, rel=1e-4)  # of I-frames
    assert found["beta_most"] == pytest.approx(1e-3, rel=1e-4)
    assert found["kbps"] == pytest.approx(8 * found["bytes"] * 25 / FRAMES / 1000)
    assert found["seconds"] == pytest.approx(FRAMES / 25)


def test_info_says_where_a_stream_is_damaged(made, capsys, monkeypatch):
    found = said(capsys, str(damaged(made, 4)))
    assert found["whole"] is False and f"frame 4 of {FRAMES}" in found["damage"]
    assert (found["frames"], found["frames_whole"]) == (FRAMES, FRAMES - 2)
    assert found["kbps"] == pytest.approx(8 * found["bytes"] * 25 / FRAMES / 1000)  # lost frames last, too
    data = (made / "a.pvc").read_bytes()
    Path("cut.pvc").write_bytes(data[: int(len(data) * 0.75)])
    found = said(capsys, "cut.pvc")
    assert GOP < found["frames_whole"] < FRAMES and found["gop_longest"] == GOP
    pipe = Standard(monkeypatch, data[: len(data) // 2])
    main(["info", "-", "--json"])
    found = json.loads(pipe.out.getvalue())
    assert found["whole"] is False and 0 < found["frames_whole"] < FRAMES and found["frames"] == FRAMES


def test_a_stream_cannot_choose_a_file_as_its_model(made, capsys):
    header = Header("../small", "00" * 8, WIDTH, HEIGHT, "25", GOP, None)
    Path("evil.pvc").write_bytes(StreamWriter(header).header())
    assert "give --model" in ends(2, "decode", "evil.pvc", "-o", "out.mkv", capsys=capsys)


def test_a_stream_of_enormous_frames_is_refused_unless_it_is_trusted(made, capsys):
    header = Header("small", "00" * 8, 65535, 65535, "25", GOP, None)
    Path("huge.pvc").write_bytes(StreamWriter(header).header())
    args = ["decode", "huge.pvc", "-o", "out.mkv", *model(made)]
    assert "65535x65535" in ends(2, *args, capsys=capsys)
    args[1] = str(made / "a.pvc")
    assert "--max-pixels" in ends(2, *args, "--max-pixels", "2000", capsys=capsys)


MEMORY = """
import resource, sys
from pvc.cli import main
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model = ["--model", sys.argv[1]]
for name in ("short", "long"):
    main(["encode", name + ".y4m", "-o", name + ".pvc", *model, "--beta", "1e-3"])
    main(["decode", name + ".pvc", "-o", name + ".out.y4m", *model])
    print(peak(), flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from Linux")
def test_a_longer_clip_takes_no_more_memory(made):
    """80 frames more, of 48 KB each: kept, they would be 4 MB more (16 MB as the networks hold them)."""
    for name, count in (("short", 20), ("long", 100)):
        with VideoWriter(f"{name}.y4m", width=128, height=128, fps=25) as writer:
            for t in range(count):
                writer.write(picture(t, 128, 128))
    command = [sys.executable, "-c", MEMORY, str(made / "small.safetensors")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    short, long = map(int, done.stdout.split())
    assert long - short < 3000  # kB


def writing_to_nobody() -> None:
    read, write = os.pipe()
    os.close(read)  # before anything is written, so that it does not matter how much a pipe holds
    os.dup2(write, 1)


def test_a_reader_that_goes_away_ends_the_command_without_a_word(made):
    arguments = ["decode", f"{made}/a.pvc", "-o", "-", *model(made)]
    with Command("pvc.cli", arguments, Path("said"), before=writing_to_nobody) as process:
        assert process.code() == 141 and process.said == ""


@pytest.mark.parametrize("how", ["model", "codec"])
def test_a_variable_frame_rate_is_said_as_files_that_are_written_have_one(made, capsys, how):
    with av.open("phone.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=1000)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        for t, time in enumerate([0, 40, 80, 400, 440, 480]):
            frame = av.VideoFrame.from_ndarray(picture(t).permute(1, 2, 0).contiguous().numpy(), "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame.reformat(format="bgr0")))
        container.mux(stream.encode(None))
    options = [*model(made), "--beta", "1e-3"] if how == "model" else ["--codec", "x264", "--crf", "30"]
    output = "out.pvc" if how == "model" else "out.mp4"
    main(["encode", "phone.mkv", "-o", output, *options])
    assert "warning: the frame rate of phone.mkv varies" in capsys.readouterr().err
    main(["encode", "phone.mkv", "-o", output, *options, "--fps", "25"])  # who says a rate knows
    main(["encode", str(made / "in.mkv"), "-o", output, *options])
    assert "warning" not in capsys.readouterr().err


def reading_from_one_who_stops() -> None:
    """Half a clip comes and nothing more; ``asked`` is there when somebody wants more."""
    read, write = os.pipe()
    sys.stdin = os.fdopen(read)
    count = os.write(write, Path("in.y4m").read_bytes()[:20000])
    ask = Pipe._read

    def asked(self, most):
        if self.taken == count:
            Path("asked").touch()
        return ask(self, most)

    Pipe._read = asked


def test_ctrl_c_while_waiting_for_a_pipe_is_one_line(made):
    """FFmpeg is waiting for the other half of a frame."""
    write_clip("in.y4m", read_clip(made / "in.mkv"), Fraction(25))
    arguments = ["encode", "-", "-o", "out.pvc", *model(made), "--beta", "1e-3"]
    with Command("pvc.cli", arguments, Path("said"), before=reading_from_one_who_stops) as process:
        waiting = psutil.Process(process.pid)
        process.until(lambda: Path("asked").exists() and waiting.status() == psutil.STATUS_SLEEPING)
        assert any(p.name.startswith(".out.pvc") for p in Path().iterdir())
        process.send(signal.SIGINT)
        assert process.code() == 130 and process.said == "pvc: interrupted\n"
    assert {p.name for p in Path().iterdir()} == {"in.y4m", "said", "asked"}


def test_ctrl_c_in_ffmpegs_own_code_is_not_lost():
    """Python hears of it when FFmpeg asks for more, before the first line of what is called then."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        pipe = Pipe(io.BytesIO(bytes(100)))
        assert list(map(operator.call, [_thread.interrupt_main, partial(pipe.read, 10)])) == [None, b""]
        with pytest.raises(KeyboardInterrupt):
            pipe.check()
    finally:
        signal.signal(signal.SIGINT, before)
