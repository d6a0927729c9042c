"""``python -m pvc.eval``: from overrides to a report, from any folder; what is wrong is one line and exit code 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pvc.eval import main
from pvc.video import write_clip, write_map

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["frames=2", "crf=[20,26,32,38]", "metrics=[psnr]"]


def _eval(folder: Path, *overrides: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "pvc.eval", *overrides], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )


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
    assert {r["sequence"] for r in rows} == {"one", "two", "mean"}
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
        (["crf=[99]"], ["crf=99", "[0, 51]"]),
        (["gop=0"], ["gop=0"]),
        (["metrics=[psmr]"], ["psmr", "ms_ssim, psnr"]),
        (["bd.method=cubic"], ["cubic", "pchip"]),
        (["sequences=[three]"], ["three", "one"]),
        (["no_such_key=1"], ["no_such_key"]),
        (["codecs=[x264"], ["x264"]),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, clips, overrides, words):
    rest = [] if any("data" in o for o in overrides) else _data(clips)
    code, err = _main(tmp_path, monkeypatch, capsys, *rest, *SMALL, *overrides)
    assert code == 2
    errors = [line for line in err.splitlines() if line.startswith("pvc: error:")]
    assert len(errors) == 1 and err.splitlines()[-1] == errors[0] and "Traceback" not in err
    assert all(word in errors[0] for word in words), errors[0]
    assert not (tmp_path / "pvc-eval" / "results.jsonl").exists()


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch, capsys, clips):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pvc.codecs.avcodec.X265.encode", interrupted)
    code, err = _main(tmp_path, monkeypatch, capsys, *_data(clips), *SMALL)
    assert code == 130 and "the same command goes on from there" in err and "Traceback" not in err
    assert len((tmp_path / "pvc-eval" / "results.jsonl").read_text().splitlines()) == 4
    monkeypatch.undo()
    code, err = _main(tmp_path, monkeypatch, capsys, *_data(clips), *SMALL)
    assert code == 0 and len((tmp_path / "pvc-eval" / "results.jsonl").read_text().splitlines()) == 16


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
