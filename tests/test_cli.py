"""The ``pvc`` command as a user meets it: help at once, one line for what is wrong, exit codes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pvc.cli import HYDRA_COMMANDS, _parser, main
from pvc.commands.files import replacing
from pvc.console import one_line_errors
from pvc.errors import VideoError

PVC = Path(sys.executable).parent / "pvc"
COMMANDS = ["train", "eval", "encode", "decode", "importance", "blur", "info", "table", "study", "demo", "doctor"]


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run([PVC, *args], cwd=cwd, capture_output=True, text=True)


def one_line(capsys) -> str:
    """What went to stderr, which must be one line of the command's own."""
    text = capsys.readouterr().err
    assert text.startswith("pvc: error: ") and text.count("\n") == 1, text
    return text


def test_the_command_works_from_any_folder(tmp_path):
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")} >= set(COMMANDS)


def test_help_comes_at_once_and_without_torch(tmp_path):
    code = (
        "import sys, time; from pvc.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'hydra', 'av', 'rich'} & set(sys.modules)), time.process_time())"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    imported, seconds = out.splitlines()[-1].rsplit(" ", 1)
    assert imported == "[]"
    assert float(seconds) < 1  # of CPU time, which other work on the machine does not stretch


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as done:
        main([name, "--help"])
    assert done.value.code == 0
    assert f"usage: pvc {name}" in capsys.readouterr().out


def test_train_and_eval_hand_their_arguments_over_unparsed(monkeypatch):
    given, arguments = {}, ["-m", "experiment=tiny", "--cfg", "job"]
    for name in ("train", "eval"):
        monkeypatch.setitem(HYDRA_COMMANDS, name, lambda overrides, name=name: given.__setitem__(name, overrides))
        main([name, *arguments])
    assert given == {"train": arguments, "eval": arguments}


ENCODE = ["encode", "in.mkv", "-o", "out.pvc", "--model", "m", "--beta", "1e-3"]
X265 = ["encode", "in.mkv", "-o", "out.mp4", "--codec", "x265", "--crf", "32"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "COMMAND"),
        (["frobnicate"], "frobnicate"),
        (["encode"], "IN, -o/--output"),
        (ENCODE[:4], "--model --codec"),
        ([*ENCODE, "--codec", "x264"], "not allowed with argument --model"),
        ([*ENCODE, "--gop", "0"], "above 0"),
        ([*ENCODE, "--size", "416"], "416x240"),
        ([*ENCODE, "--crf", "30"], "--crf needs --codec"),
        ([*ENCODE, "--alpha", "26.5"], "needs --importance"),
        ([*ENCODE, "-o", "out.mp4"], ".pvc"),
        ([*ENCODE, "--fps", "fast"], "30000/1001"),
        ([*ENCODE, "--fps", "0"], "above 0"),
        (ENCODE, "in.mkv"),
        ([*X265, "--beta", "1e-3"], "--beta needs --model"),
        ([*X265, "--alpha", "26.5"], "needs --importance"),
        ([*X265, "--codec", "svtav1", "--importance", "map.mkv"], "svtav1 takes no importance map; use x264 or x265,"),
        (X265[:-2], "--crf"),
        ([*X265, "-o", "out.pvc"], ".mp4 or .mkv"),
        (["decode", "none.pvc", "-o", "out.mkv"], "none.pvc does not exist"),
        (["info", "none.pvc"], "none.pvc does not exist"),
        (["info", "none.mkv"], "none.mkv"),
        (["table", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_2(args, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        main(args)
    assert done.value.code == 2
    assert says in one_line(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (VideoError("a.mkv\nis broken"), 2, "pvc: error: a.mkv is broken\n"),
        (OSError(28, "No space left", "/disk/a.pvc"), 2, "pvc: error: /disk/a.pvc: No space left\n"),
        (KeyboardInterrupt(), 130, "pvc: interrupted\n"),
    ],
)
def test_errors_and_interrupts_are_one_line(error, code, line, capsys):
    with pytest.raises(SystemExit) as done, one_line_errors():
        raise error
    assert done.value.code == code
    assert capsys.readouterr().err == line


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0


def test_ctrl_c_ends_a_command_with_one_line_and_130(interruptible):
    code = (
        "import time, pvc.cli as c\nc._doctor = lambda _: (print('on', flush=True), time.sleep(60))\nc.main(['doctor'])"
    )
    process = interruptible([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1] == "pvc: interrupted\n"
    assert process.returncode == 130


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line():
    code = "import pvc.cli as c; c._doctor = lambda _: print('fine'); c.main(['doctor'])"
    env = os.environ | {"PYTHONUNBUFFERED": ""}  # buffered, as in a user's shell: the error comes at the last moment
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, env=env)
    assert done.returncode == 2
    assert done.stderr == "pvc: error: No space left on device\n"


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(f"{PVC} encode --help | true; echo ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash",
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout.strip() in ("0", "141") and done.stderr == ""


def test_a_failure_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "out.pvc"
    path.write_bytes(b"before")
    with pytest.raises(VideoError), replacing(path) as file:
        file.write(b"half")
        raise VideoError("the clip breaks off")
    assert [p.name for p in tmp_path.iterdir()] == ["out.pvc"]
    assert path.read_bytes() == b"before"
    with replacing(path) as file:
        file.write(b"after")
    assert [p.name for p in tmp_path.iterdir()] == ["out.pvc"]
    assert path.read_bytes() == b"after"


def test_examples_in_help_and_readme_parse():
    """An example that the parser refuses would be the first thing a user sees fail."""
    root = Path(__file__).resolve().parents[1]
    text = (root / "README.md").read_text() + "".join(
        a.format_help() for a in _parser()._subparsers._group_actions[0].choices.values()
    )
    lines = [line.split("   (")[0].split() for line in text.splitlines() if line.startswith(("    pvc ", "  pvc "))]
    lines = [line[1:] for line in lines if line[0] == "pvc" and line[1] in COMMANDS]
    assert len(lines) >= 12
    for words in lines:
        if words[0] not in HYDRA_COMMANDS:
            _parser().parse_args([w.removesuffix("...") for w in words])
