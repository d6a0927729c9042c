"""`pvc data pack` as a user runs it: a killed run goes on, damage is mended, what does not fit is one line."""

import fcntl
import os
import signal
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from pvc.cli import main
from pvc.data.shards import Shards
from pvc.errors import JobsFailed
from pvc.video import write_clip
from tests.data.conftest import noise_clip, write_pictures
from tests.processes import Command

CLIPS = 24


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("pack") / "clips"
    root.mkdir()
    for seed in range(CLIPS):
        write_clip(root / f"{seed:02d}.mkv", noise_clip(seed, frames=4), Fraction(25))
    return root


def arguments(clips: Path, out: Path, *overrides: str) -> list[str]:
    settings = ["data=clips", f"data.root={clips}", "data.source.cache=null", "shard_mb=0.03", "jobs=1"]
    return ["data", "pack", *settings, f"out={out}", *overrides]


def here(*args: object) -> int:
    """The command in this process; its exit code."""
    return run(arguments(*args))


def run(command: list[str]) -> int:
    try:
        main(command)
    except SystemExit as stopped:
        return stopped.code
    return 0


def contents(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in out.iterdir()}


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("pack") / "whole"
    assert here(clips, out) == 0
    return out


def killed_in_its_midst() -> None:
    from pvc.data import shard_writer

    check, begun = shard_writer._check, []

    def killed(*args):
        begun.append(args)
        if len(begun) == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return check(*args)

    shard_writer._check = killed


def test_a_killed_run_is_taken_up_and_makes_the_same_pack(clips, whole, tmp_path, capsys):
    out = tmp_path / "pack"
    with Command("pvc.cli", arguments(clips, out), tmp_path / "said", before=killed_in_its_midst) as process:
        assert process.code() == -signal.SIGKILL
    there = {p: p.stat().st_ino for p in out.glob("shard-*.json")}
    assert len(there) == 5 and not (out / "index.json").exists() and len(list(out.glob(".*.part"))) == 1
    assert here(clips, out) == 0
    said = capsys.readouterr()
    assert f"{len(there)} of {CLIPS} shards are there already" in said.err and f"{CLIPS} clips, 96 frames" in said.out
    assert all(p.stat().st_ino == inode for p, inode in there.items())
    assert contents(out) == contents(whole)


def test_damaged_shards_are_found_and_packed_again(clips, whole, tmp_path):
    out = tmp_path / "pack"
    assert here(clips, out) == 0
    changed, shorter, gone = (out / f"shard-{n:05d}.tar" for n in (3, 9, 12))
    data = bytearray(changed.read_bytes())
    data[2000] ^= 1
    changed.write_bytes(data)
    shorter.write_bytes(shorter.read_bytes()[:-1])
    gone.unlink()
    assert here(clips, out) == 0  # sizes alone tell of two
    assert [name for name, data in contents(out).items() if data != contents(whole)[name]] == [changed.name]
    assert here(clips, out, "verify=true") == 0
    assert contents(out) == contents(whole)


def test_several_processes_make_the_same_pack(clips, whole, tmp_path):
    assert here(clips, tmp_path / "pack", "jobs=2") == 0
    assert contents(tmp_path / "pack") == contents(whole)


def test_another_pack_or_folder_is_never_touched(clips, whole, tmp_path, capsys):
    before = contents(whole)
    for override, words in (
        ("frames=raw", "with other frames"),
        ("data.source.only=[03,04]", "of other clips"),
        ("data.source.val=5", "of other clips"),
        ("shard_mb=1", "with another shard_mb"),
    ):
        assert here(clips, whole, override) == 2
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1 and words in errors, errors
    assert contents(whole) == before
    assert here(clips, clips) == 2
    assert "holds other files and no pack" in capsys.readouterr().err and not (clips / ".lock").exists()
    with (whole / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert here(clips, whole) == 2
    assert "another pvc data pack is at work" in capsys.readouterr().err


def test_what_cannot_be_is_one_line(clips, tmp_path, capsys):
    for override, words in (
        ("frames=jpeg", "png or raw"),
        ("shard_mb=0", "shard_mb"),
        ("splits=[train,test]", "eval, val or train"),
        ("splits=[]", "splits"),
        ("jobs=0", "jobs=0"),
        ("data.root=/nowhere", "/nowhere"),
    ):
        assert here(clips, tmp_path / "pack", override) == 2
        errors = capsys.readouterr().err.strip().splitlines()
        assert words in errors[-1] and len(errors) == 1, (override, errors)
    assert not (tmp_path / "pack").exists()


def test_without_the_library_one_line_says_what_to_install(clips, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    assert here(clips, tmp_path / "pack") == 2
    assert "pip install 'pvc[shards]'" in capsys.readouterr().err


def test_a_broken_clip_keeps_no_other_from_being_packed(tmp_path, capsys):
    root = tmp_path / "vimeo"
    for seed, name in enumerate(("00001/0001", "00001/0002", "00001/0003")):
        write_pictures(root / "sequences" / name, noise_clip(seed, frames=7), "im{}.png", first=1)
    (root / "sep_trainlist.txt").write_text("00001/0001\n00001/0002\n")
    (root / "sep_testlist.txt").write_text("00001/0003\n")
    file = root / "sequences/00001/0002/im4.png"
    good = file.read_bytes()
    file.write_bytes(good[:100])
    command = [
        "data",
        "pack",
        "data=vimeo90k",
        f"data.root={root}",
        f"out={tmp_path / 'pack'}",
        "shard_mb=0.01",
        "jobs=1",
    ]
    assert run(command) == JobsFailed.exit_code
    assert "1 of 3 shards are missing" in (errors := capsys.readouterr().err) and "im4.png" in errors
    assert not (tmp_path / "pack" / "index.json").exists()
    file.write_bytes(good)
    assert run(command) == 0
    assert len(Shards(tmp_path / "pack").train()) == 2
