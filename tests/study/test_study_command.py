"""``pvc study`` as a user meets it."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from pvc.annotate.prepare import prepare
from pvc.cli import main
from pvc.codecs import load_codecs
from pvc.evaluation import evaluate
from pvc.metrics import load_metrics
from pvc.study.plan import Study
from pvc.video import probe, read_clip
from tests.annotate.painting import ON_DISK, Collection, clips_folder, small_settings
from tests.evaluation.conftest import make_sequence
from tests.study.conftest import VIDEOS, write_encodes

PVC = Path(sys.executable).parent / "pvc"
FEW = ["--set", "sanity.count=1"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of ``pvc eval`` that kept its streams."""
    out = tmp_path_factory.mktemp("run")
    settings = {"gop": 12, "crf": [24, 30, 36, 42], "keep_streams": True}
    clips = [make_sequence("a", frames=8), make_sequence("b", 1, frames=8)]
    evaluate(load_codecs(["x264", "x265"]), clips, load_metrics(["psnr"]), out, settings)
    return out


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("encodes")
    return [f"{name}={write_encodes(root / name, seed)}" for seed, name in enumerate(("roi", "plain"))]


def says(capsys, *args) -> str:
    """The one line on stderr of a command that fails."""
    with pytest.raises(SystemExit) as done:
        main(["study", *map(str, args)])
    assert done.value.code == 2
    text = capsys.readouterr().err
    *notes, text = text.splitlines()
    assert text.startswith("pvc: error: ") and all(note.startswith("note: ") for note in notes), text
    return text


def test_a_study_of_folders(folders, tmp_path, capsys):
    main(["study", "new", str(tmp_path / "s"), "--pairs", *folders, "--baseline", "roi", *FEW])
    study = Study.load(tmp_path / "s")
    assert study.codecs == ("plain", "roi") and len(study.tests) == 3 and study.title == "s"
    assert "3 pairs of plain and roi, 1 sanity pairs" in capsys.readouterr().out


def test_a_study_of_an_evaluation_shows_what_was_measured(run, tmp_path):
    main(["study", "new", str(tmp_path / "s"), "--pairs", str(run), "--codecs", "x265", "x264", "--kbps", "300", *FEW])
    study = Study.load(tmp_path / "s")
    records = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    assert study.codecs == ("x265", "x264") and [pair.video for pair in study.tests] == ["a", "b"]
    for pair in study.tests:
        own = [r for r in records if r["sequence"] == pair.video]
        plain = min((r for r in own if r["codec"] == "x264"), key=lambda r: abs(np.log(r["kbps"] / 300)))
        near = min((r for r in own if r["codec"] == "x265"), key=lambda r: abs(np.log(r["kbps"] / plain["kbps"])))
        assert [side.kbps for side in pair.sides] == [near["kbps"], plain["kbps"]]
        source = make_sequence(pair.video, "ab".index(pair.video), frames=8).clip
        for side, record in zip(pair.sides, (near, plain)):
            shown = read_clip(tmp_path / "s" / "videos" / side.file)
            error = ((shown.float() - source.float()) ** 2).mean((1, 2, 3)) / 255**2
            assert (-10 * torch.log10(error)).mean().item() == pytest.approx(record["metrics"]["psnr"], abs=0.4)


def test_a_run_without_streams_is_told_what_to_do_and_then_goes_on(run, tmp_path, capsys):
    (run / "streams").rename(tmp_path / "away")
    try:
        assert "keep_streams=true" in says(capsys, "new", tmp_path / "s", "--pairs", run)
        settings = {"gop": 12, "crf": [24, 30, 36, 42], "keep_streams": True}
        again = evaluate(load_codecs(["x264"]), [make_sequence("a", frames=8)], load_metrics(["psnr"]), run, settings)
        assert (again.run, again.reused) == (4, 0) and len(list((run / "streams").rglob("*.bin"))) == 4
    finally:
        (run / "streams").rename(tmp_path / "partial") if (run / "streams").exists() else None
        (tmp_path / "away").rename(run / "streams")


@pytest.mark.parametrize("codec", ["x264-annotation", "x265-annotation"])
def test_a_study_of_what_people_painted(codec, tmp_path):
    folder = clips_folder(tmp_path / "clips", "disk")
    work = folder / "annotations"
    collection = Collection(work, prepare(folder, work, small_settings(f"codec.name={codec}"), jobs=1))
    for name in ("ann", "bob"):
        collection.participant(name)
        collection.paint(f"s-{name}", name, "disk", ON_DISK)
    main(["annotate", "average", str(work), "-o", str(tmp_path / "average"), "--encode"])
    main(["study", "new", str(tmp_path / "s"), "--pairs", str(tmp_path / "average"), *FEW])
    study = Study.load(tmp_path / "s")
    (pair,) = study.tests
    assert study.codecs == ("importance", "baseline") and pair.video == "disk"
    assert pair.sides[1].kbps == pytest.approx(collection.clips["disk"].target_kbps)
    assert pair.sides[0].kbps == pytest.approx(pair.sides[1].kbps, rel=0.1)  # one second is short for rate control
    source = read_clip(work / "clips" / "disk" / "source.mkv").float()
    painted, plain = (read_clip(tmp_path / "s" / "videos" / side.file).float() for side in pair.sides)
    better = ((plain - source) ** 2 - (painted - source) ** 2).mean((0, 1))
    assert better[26:70, 30:110].mean() > 0 > better[:20].mean()  # where the disk is, and above it
    named = [f"{name}={tmp_path / 'average' / name}" for name in ("painted", "baseline")]
    main(["study", "new", str(tmp_path / "named"), "--pairs", *named, *FEW])
    assert [pair.video for pair in Study.load(tmp_path / "named").tests] == ["disk"]


def test_what_cannot_be_done_is_one_line(folders, made, run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "at least two" in says(capsys, "new", "s", "--pairs", folders[0].partition("=")[2])
    assert "nowhere is no folder" in says(capsys, "new", "s", "--pairs", "a=nowhere", folders[0])
    assert "two folders are called roi" in says(capsys, "new", "s", "--pairs", folders[0], folders[0])
    assert "is none of roi; plain" in says(capsys, "new", "s", "--pairs", *folders, "--baseline", "x")
    assert "--codecs is for a folder that pvc eval wrote" in says(
        capsys, "new", "s", "--pairs", *folders, "--codecs", "x"
    )
    assert "is there already" in says(capsys, "new", made, "--pairs", *folders)
    assert "no KEY=VALUE" in says(capsys, "new", "s", "--pairs", *folders, "--set", "sanity")
    assert "configs/study.yaml" in says(capsys, "new", "s", "--pairs", *folders, "--set", "sanity.many=3")
    assert "it has x264; x265" in says(capsys, "new", "s", "--pairs", run, "--codecs", "x266", "x264")
    assert "holds no study" in says(capsys, "serve", "nowhere")
    assert "say by which name" in says(capsys, "serve", made, "--host", "0.0.0.0")
    assert "no answers yet" in says(capsys, "report", made)
    assert not list(tmp_path.iterdir())


def test_served_until_ctrl_c_and_reported(folders, tmp_path, interruptible, capsys):
    study = tmp_path / "s"
    main(["study", "new", str(study), "--pairs", *folders, *FEW])
    command = [PVC, "study", "serve", study, "--port", "0"]
    token = {"env": {**os.environ, "PVC_ADMIN_TOKEN": "a-token"}}
    process = interruptible(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **token)
    try:
        line = process.stdout.readline()
        url = re.search(r"http://\S+/", line)[0]
        with urllib.request.urlopen(url) as answer:
            assert b"<title>" in answer.read()
        request = urllib.request.Request(f"{url}api/admin/status", headers={"Authorization": "Bearer a-token"})
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer) == {"joined": 0, "finished": 0}
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == "" and "a-token" not in line + out
    assert "nobody has taken part" in says(capsys, "report", study)


def test_names_of_videos_are_the_files(folders, tmp_path):
    main(["study", "new", str(tmp_path / "s"), "--pairs", *folders, "--set", "sanity.count=0"])
    assert [pair.video for pair in Study.load(tmp_path / "s").pairs] == sorted(VIDEOS)
    assert probe(tmp_path / "s" / "videos" / "001.mp4").frames == 15
