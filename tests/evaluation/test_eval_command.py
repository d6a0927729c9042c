"""``python -m pvc.eval``: from overrides to a report, from any folder; what is wrong is one line and exit code 2."""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import torch
import torchvision

from pvc.errors import VideoError
from pvc.eval import main
from pvc.evaluation import load_runs
from pvc.video import write_clip, write_map
from tests.processes import Command, pause_after, run

SMALL = ["frames=2", "crf=[20,26,32,38]", "metrics=[psnr]"]


def _eval(folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    return run("pvc.eval", *overrides, folder=folder, COLUMNS="200")


def _main(folder: Path, monkeypatch, capsys, *overrides: str) -> tuple[int, str]:
    """The same in this process: exit code and what was printed on stderr."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["pvc eval", *overrides])
    capsys.readouterr()
    try:
        main()
    except SystemExit as end:
        return end.code or 0, capsys.readouterr().err
    return 0, capsys.readouterr().err


def _data(clips: Path) -> list[str]:
    return ["data=clips", f"data.root={clips}", "data.source.val=2", "data.source.cache=null"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """A folder with two small clips, one of them with a mask."""
    folder = tmp_path_factory.mktemp("clips")
    generator = torch.Generator().manual_seed(0)
    for name in ("one", "two"):
        still = torch.nn.functional.interpolate(
            torch.rand(1, 3, 9, 12, generator=generator) * 255, (48, 64), mode="bicubic"
        )
        noise = torch.rand(3, 48, 64, generator=generator) * 40
        clip = torch.stack([(still[0] + noise.roll(t, -1)).clamp(0, 255).to(torch.uint8) for t in range(3)])
        write_clip(folder / f"{name}.mkv", clip, 25)
    mask = torch.zeros(3, 1, 48, 64)
    mask[..., 10:30, 10:40] = 1
    write_map(folder / "one.mask.mkv", mask, 25)
    return folder


def test_clips_to_report_and_only_in_out(tmp_path, clips):
    done = _eval(tmp_path, *_data(clips), "out=o", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "against x265" in done.stdout and "16 jobs run, 0 reused" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["o"]
    rows = json.loads((tmp_path / "o" / "bd_rate.json").read_text())
    assert {r["sequence"] for r in rows} == {"one", "two", "mean", "mean curve"}
    assert all(r["bd_rate"] is not None or r["reason"] for r in rows)
    assert (tmp_path / "o" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["codecs=[x264,x266]"], ["'x266'", "x265-medium"]),
        (["data=nothing"], ["data/nothing", "clips"]),
        (["data=clips"], ["data.root"]),
        (["data.root=nowhere"], ["nowhere", "not a folder"]),
        (["anchor=x264", "codecs=[x265]"], ["anchor=x264", "x265"]),
        (["baseline=ssf-tiny"], ["baseline=ssf-tiny"]),
        (["codecs=[x264,x265-roi]", "u_alpha=[0.2]", "anchor=x265-roi"], ["anchor=x265-roi", "u_alpha=1"]),
        (["crf=[99]"], ["crf=99", "[0, 51]"]),
        (["gop=0"], ["gop=0"]),
        (["metrics=[psmr]"], ["psmr", "ms_ssim, psnr"]),
        (["bd.method=cubic"], ["cubic", "pchip"]),
        (["sequences=[three]"], ["three", "one"]),
        (["no_such_key=1"], ["there is no key no_such_key", "pvc eval --cfg job"]),
        (["importance=spectral", "importance.nokey=3"], ["there is no key importance.nokey", "--cfg job"]),
        (
            ["importance=spectral", "importance.decay=abc"],
            ["cannot take decay=abc", "importance/spectral.yaml"],
        ),
        (["crops={zoom:2}"], ["crops has no setting zoom", "places"]),
        (["crops={metric:[vmaf]}"], ["crops.metric=vmaf", "lpips"]),
        (["crops={metric:[lpips]}"], ["crops.metric", "none can be measured", "weights file"]),
        (["crops={size:4}"], ["crops.size=4"]),
        (["crops={places:{one:[1]}}"], ["crops.places.one=[1]", "left and top"]),
        (["crops={places:{three:[1,2]}}"], ["crops.places names three", "one, two"]),
        (["crops={size:16,places:{one:[50,0]}}"], ["crops.places.one", "leave the 64x48"]),
        (["optional_codecs=[mine]", "codecs=[x266]"], ["'x266'"]),
        (["experiment=tiny"], ["experiment=tiny", "pvc eval", "model"]),
        (["points={x264:{qp:[1]},x266:{crf:[1]}}"], ["points.x266"]),
        (["points={x264:{preset:[1]}}"], ["points.x264", "preset"]),
        (["jobs=0"], ["jobs=0"]),
        (["require=[lpips]"], ["require", "lpips", "psnr"]),
        (["metrics=[lpips]", "require=[lpips]"], ["require=lpips", "weights file", "weights_dir"]),
        (["published=[nowhere.json]"], ["nowhere.json"]),
        (["codecs=[x264"], ["x264"]),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, clips, overrides, words):
    rest = [] if any("data" in o for o in overrides) else _data(clips)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # no weights of metrics
    monkeypatch.delenv("PVC_WEIGHTS", raising=False)
    code, err = _main(tmp_path, monkeypatch, capsys, *rest, *SMALL, *overrides)
    assert code == 2
    errors = [line for line in err.splitlines() if line.startswith("pvc: error:")]
    assert len(errors) == 1 and err.splitlines()[-1] == errors[0] and "Traceback" not in err
    assert all(word in errors[0] for word in words), errors[0]
    assert not (tmp_path / "pvc-eval" / "results.jsonl").exists()


@pytest.mark.parametrize(
    ("optional", "run", "said"),
    [
        ("[svtav1,no-such]", {"x264", "svtav1"}, None),
        ("[no-such]", {"x264"}, "without no-such: there is no such checkpoint; name yours by optional_codecs=[NAME]"),
        ("[x264]", {"x264"}, None),
    ],
)
def test_optional_codecs_take_part_where_they_are_there(tmp_path, monkeypatch, capsys, clips, optional, run, said):
    monkeypatch.chdir(tmp_path)
    overrides = [
        "codecs=[x264]",
        f"optional_codecs={optional}",
        "anchor=null",
        "crf=[40]",
        "frames=1",
        "jobs=1",
        "out=o",
    ]
    monkeypatch.setattr(sys, "argv", ["pvc eval", *_data(clips), *overrides, "metrics=[psnr]"])
    main()
    assert {r.codec for r in load_runs(["o"])} == run
    assert said is None or said in capsys.readouterr().out


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch, capsys, clips):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pvc.codecs.avcodec.X265.encode_frames", interrupted)
    code, err = _main(tmp_path, monkeypatch, capsys, *_data(clips), *SMALL, "jobs=1")
    assert code == 130 and "the same command goes on from there" in err and "Traceback" not in err
    assert len((tmp_path / "pvc-eval" / "results.jsonl").read_text().splitlines()) == 4
    monkeypatch.undo()
    code, err = _main(tmp_path, monkeypatch, capsys, *_data(clips), *SMALL, "jobs=1")
    assert code == 0 and len((tmp_path / "pvc-eval" / "results.jsonl").read_text().splitlines()) == 16


def _lines(path: Path) -> int:
    return len(path.read_bytes().splitlines()) if path.exists() else 0


RECORDS = "pvc.evaluation.records:RecordFile"
LONGER = [*SMALL, "codecs=[x264,x265,x265-medium]", "metrics=[psnr,ms_ssim]", "jobs=2"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, clips) -> Path:
    """The folder of an evaluation of 24 jobs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unbroken")
    done = _eval(folder, *_data(clips), *LONGER, "out=o")
    assert done.returncode == 0, done.stderr
    return folder / "o"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_stopped_half_way_goes_on_to_the_same_tables(tmp_path, clips, unbroken, how):
    arguments, after_three = [*_data(clips), *LONGER, "out=o"], partial(pause_after, RECORDS, "append", 3)
    with Command("pvc.eval", arguments, tmp_path / "said", folder=tmp_path, before=after_three) as process:
        process.reached()
        if how == signal.SIGKILL:  # a lock, which must not outlive it
            second = _eval(tmp_path, *_data(clips), *LONGER, "out=o")
            assert second.returncode == 2 and "another pvc eval is at work in" in second.stderr
        family = psutil.Process(process.pid).children(recursive=True)
        process.send(how)
        code = process.code()
    expected = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 128 + signal.SIGTERM}
    assert family and code == expected[how]
    assert how == signal.SIGKILL or "the same command goes on from there" in process.said
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    assert _lines(tmp_path / "o" / "results.jsonl") == 3
    again = _eval(tmp_path, *_data(clips), *LONGER, "out=o")
    assert again.returncode == 0, again.stderr
    assert "21 jobs run, 3 reused" in again.stdout
    for name in ("bd_rate.json", "bd_rate.csv", "bd_rate.md", "bd_rate.tex"):
        assert (tmp_path / "o" / name).read_bytes() == (unbroken / name).read_bytes()


def test_failed_jobs_are_counted_and_the_rest_is_in_the_tables(tmp_path, monkeypatch, capsys, clips):
    from pvc.codecs.avcodec import X265

    encode = X265.encode_frames

    def fails(self, frames, point, *rest, **more):
        if point["crf"] == 26:
            raise VideoError("the encoder is on strike")
        return encode(self, frames, point, *rest, **more)

    monkeypatch.setattr("pvc.codecs.avcodec.X265.encode_frames", fails)
    code, err = _main(tmp_path, monkeypatch, capsys, *_data(clips), *SMALL, "jobs=1", "out=o")
    assert code == 1 and "2 of 16 jobs failed, at last x265 on two: the encoder is on strike" in err.splitlines()[-1]
    assert len((tmp_path / "o" / "results.jsonl").read_text().splitlines()) == 14
    assert "on strike" in (tmp_path / "o" / "bd_rate.md").read_text()
    monkeypatch.undo()
    code, err = _main(tmp_path, monkeypatch, capsys, *_data(clips), *SMALL, "jobs=1", "out=o")
    assert code == 0 and not (tmp_path / "o" / "failures.jsonl").exists()


def test_a_missing_metric_is_said_before_anything_runs(tmp_path, monkeypatch, capsys, clips):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("PVC_WEIGHTS", raising=False)
    monkeypatch.setattr("pvc.evaluation.evaluate", lambda *_: pytest.exit("the note comes first"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pvc eval", *_data(clips), "metrics=[psnr,lpips]"])
    with pytest.raises(pytest.exit.Exception):
        main()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("without lpips")]
    assert "weights file" in line and "weights_dir" in line


def test_damaged_weights_are_found_before_anything_runs_and_mended_ones_are_used(tmp_path, monkeypatch, capsys, clips):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("PVC_WEIGHTS", raising=False)
    layers = torchvision.models.squeezenet1_1(weights=None).state_dict()
    file = tmp_path / "w" / "squeezenet1_1.pth"
    file.parent.mkdir()
    torch.save(layers, file)
    whole = file.read_bytes()
    file.write_bytes(whole[:5000])
    overrides = [*_data(clips), *SMALL, "sequences=one", "codecs=[x264]", "anchor=null", "jobs=1", "out=o"]
    overrides.append(f"metrics=[psnr,{{features:{{weights:{file.name}}}}}]")
    overrides.append(f"weights_dir={file.parent}")
    code, err = _main(tmp_path, monkeypatch, capsys, *overrides, "require=[feat_squeezenet11]")
    assert code == 2 and "require=feat_squeezenet11 cannot be measured" in err and "squeezenet1_1.pth cannot" in err
    assert not (tmp_path / "o").exists()
    assert _main(tmp_path, monkeypatch, capsys, *overrides)[0] == 0
    first = load_runs([tmp_path / "o"])
    assert not any("feat_squeezenet11" in r.metrics for r in first) and len(first) == 4
    file.write_bytes(whole)
    assert _main(tmp_path, monkeypatch, capsys, *overrides)[0] == 0  # the same command
    again = load_runs([tmp_path / "o"])
    assert all("feat_squeezenet11" in r.metrics for r in again) and [r.bits for r in again] == [r.bits for r in first]


@pytest.mark.parametrize("jobs", [1, 2])
def test_sigterm_leaves_no_temporary_files(tmp_path, clips, request, jobs):
    tmp = Path(tempfile.mkdtemp(prefix="pvc-"))  # short: sockets of processes lie in it, whose names have a limit
    request.addfinalizer(lambda: shutil.rmtree(tmp))
    slow = [
        *SMALL,
        "codecs=[vvenc]",
        f"qp={list(range(20, 60))}",
        "metrics=[vmaf]",
        "anchor=null",
        f"jobs={jobs}",
        "out=o",
    ]
    arguments, said = [*_data(clips), *slow, "frames=3"], tmp_path / "said"
    with Command("pvc.eval", arguments, said, folder=tmp_path, TMPDIR=str(tmp)) as process:
        process.until(lambda: _lines(tmp_path / "o" / "results.jsonl") and list(tmp.glob("pvc-vvenc-*/*")))
        family = psutil.Process(process.pid).children(recursive=True)
        process.send(signal.SIGTERM)
        code, err = process.code(), process.said
    _, alive = psutil.wait_procs(family, timeout=60)
    assert code == 128 + signal.SIGTERM and not alive, err
    assert "the same command goes on from there" in err and "Traceback" not in err
    assert [p.name for p in tmp.iterdir() if p.name.startswith("pvc-")] == []


def test_table_1_of_the_cpvc_paper(tmp_path, monkeypatch, capsys, shared_clips):
    overrides = ["experiment=cpvc_table1", f"data.root={shared_clips}", "frames=4", "metrics=[psnr]", "jobs=1", "out=o"]
    assert _main(tmp_path, monkeypatch, capsys, *overrides)[0] == 0
    rows = json.loads((tmp_path / "o" / "bd_rate.json").read_text())
    found = {r["codec"]: r["bd_rate"] for r in rows if r["metric"] == "psnr" and r["sequence"] == "BasketballPass"}
    assert set(found) == {"x265-cpvc", "vvenc-cpvc", "svtav1", "cpvc-tiny"}
    assert all(rate < 0 for rate in found.values())


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_a_sweep_has_a_folder_for_each_run_and_they_merge(tmp_path, clips, launcher):
    if launcher != "basic" and find_spec(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher") is None:
        pytest.skip(f"the {launcher} launcher is not installed: pip install pvc[launchers]")
    overrides = [*_data(clips), *SMALL, "jobs=1", "sequences=one,two", f"hydra/launcher={launcher}"]
    if launcher == "joblib":  # a fork would wait for its processes when it ends
        command = [sys.executable, "-m", "pvc.eval", "-m", *overrides, "out=o"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    else:
        done = _eval(tmp_path, "-m", *overrides, "out=o")
    assert done.returncode == 0, done.stderr
    runs = sorted(p.parent for p in (tmp_path / "o").glob("*/results.jsonl"))
    assert len(runs) == 2 and all((run / "report.html").exists() for run in runs)
    assert {p.name for p in (tmp_path / "o").rglob("*") if p.is_dir() and not any(p.iterdir())} == set()
    assert ["sequences=one" in runs[0].name, "sequences=two" in runs[1].name] == [True, True]
    assert {(r.codec, r.sequence) for r in load_runs(runs)} == {
        (c, s) for c in ("x264", "x265") for s in ("one", "two")
    }


def test_a_sweep_goes_on_after_a_run_that_cannot(tmp_path, monkeypatch, capsys, clips):
    overrides = ["-m", *_data(clips), *SMALL, "jobs=1", "sequences=nine,two", "anchor=null", "out=o"]
    code, err = _main(tmp_path, monkeypatch, capsys, *overrides)
    assert code == 2 and "sequences names nine" in err.splitlines()[-1] and "Traceback" not in err
    (run,) = (p.parent for p in (tmp_path / "o").glob("*/results.jsonl"))
    assert "sequences=two" in run.name and len(run.name) <= 100


def test_configuration_can_be_shown_without_running(tmp_path, monkeypatch, capsys):
    shown = ["--cfg", "job", "u_alpha=[1.0,0.2]", "beta=[1e-4]", "codecs=[x264,ssf-tiny]"]
    assert _main(tmp_path, monkeypatch, capsys, *shown)[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_davis_sequence_has_roi_numbers(tmp_path, monkeypatch, capsys, shared_clips):
    root = shared_clips / "davis"
    if not root.is_dir():
        pytest.skip("no davis among the shared clips")
    overrides = [
        "data=davis",
        f"data.root={root}",
        "sequences=[soapbox]",
        "frames=1",
        "crf=[20,26,32,38]",
        "metrics=[psnr]",
    ]
    assert _main(tmp_path, monkeypatch, capsys, *overrides, "out=o")[0] == 0
    rows = {r["metric"]: r["bd_rate"] for r in json.loads((tmp_path / "o" / "bd_rate.json").read_text())}
    assert set(rows) == {"psnr", "psnr_roi", "psnr_bg"}
    assert all(isinstance(v, float) for v in rows.values())
