"""``pvc table``: runs are merged, told apart where they do not compare, and written out as by ``pvc eval``."""

import json

import pytest

from pvc.cli import main
from pvc.evaluation import Record, RecordFile

QUALITY = (30.0, 33.0, 36.0, 38.5)


@pytest.fixture
def run(tmp_path):
    """Writes a run of one codec at ``factor`` times the rate, and returns its folder."""

    def make(name, codec, factor=1.0, sequence="a", frames=8, points=4, meta=None):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        file = RecordFile(folder / "results.jsonl")
        for i, quality in list(enumerate(QUALITY))[:points]:
            bpp, made_by = factor * 0.1 * 2**i, {"clip": {"frames": frames}, "gop": 12, "metrics": {"psnr": {}}}
            made_by["codec"] = meta or {}
            file.append(
                Record(
                    **{"codec": codec, "point": {"crf": float(i)}, "dataset": "toy", "sequence": sequence},
                    **{"frames": frames, "width": 8, "height": 8, "fps": 25.0, "gop": 12, "bits": 8, "bpp": bpp},
                    **{"kbps": bpp, "encode_seconds": 0.0, "decode_seconds": 0.0, "metrics": {"psnr": quality}},
                    meta={"made_by": made_by},
                )
            )
        return str(folder)

    return make


def failed(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as done:
        main(["table", *arguments])
    assert done.value.code == 2
    return capsys.readouterr().err


def test_two_runs_make_one_table(run, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["table", run("1", "x265"), run("2", "mine", 0.5)])
    out = capsys.readouterr().out
    assert "toy, mean of the BD-rates of one sequence: BD-rate in % against x265" in out
    assert "mine" in out and "-50.0" in out and "BD-quality at equal rate against x265" in out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]  # nothing is written unless asked for


def test_a_folder_of_a_sweep_stands_for_all_runs_below_it(run, capsys, tmp_path):
    run("sweep/0/eval", "x265")
    run("sweep/1/eval", "mine", 0.5)
    main(["table", str(tmp_path / "sweep")])
    assert "-50.0" in capsys.readouterr().out


def test_out_holds_everything_that_an_evaluation_writes(run, tmp_path, capsys):
    out = tmp_path / "out"
    main(["table", run("1", "x265"), run("2", "mine", 0.5), "--out", str(out)])
    assert {p.name for p in out.iterdir()} == {
        *("report.html", "rd_psnr.png"),
        *(f"bd_rate.{e}" for e in ("json", "csv", "md", "tex")),
    }
    rows = json.loads((out / "bd_rate.json").read_text())
    assert {r["sequence"] for r in rows} == {"a", "mean", "mean curve"}
    assert rows[0]["bd_rate"] == pytest.approx(-50)
    assert str(out / "report.html") in capsys.readouterr().out


def test_runs_that_do_not_compare_are_refused_with_the_reason(run, capsys):
    said = failed(capsys, run("1", "x265"), run("2", "mine", frames=9))
    assert "mine on a do not compare with" in said or "x265 on a do not compare with" in said
    assert "clip.frames: 8 there, 9 here" in said


def test_two_codecs_of_one_name_do_not_become_one_curve(run, capsys):
    one = run("1", "x265", meta={"options": {"preset": "medium"}})
    said = failed(capsys, one, run("2", "x265", sequence="b", meta={"options": {"preset": "slow"}}))
    assert "two codecs are called x265 (options.preset: medium there, slow here)" in said
    main(["table", one, run("3", "x265", sequence="b", meta={"options": {"preset": "medium"}}), "--anchor", "x265"])


def test_single_rate_models_are_one_codec_however_many_a_run_had(run, capsys):
    models = {"checkpoints": {"ssf-1e-4": "aa", "ssf-4e-4": "bb"}, "fingerprints": ["a", "b"]}
    one = run("1", "ssf", meta=models)
    main(["table", one, run("2", "ssf", sequence="b", meta={"checkpoints": {"ssf-1e-4": "aa"}}), "--anchor", "ssf"])
    said = failed(capsys, one, run("3", "ssf", sequence="b", meta={"checkpoints": {"ssf-1e-4": "cc"}}))
    assert "two codecs are called ssf (checkpoints.ssf-1e-4: aa there, cc here)" in said


def test_failed_jobs_are_said_unless_another_run_finished_them(run, capsys):
    one, two = run("1", "x265"), run("2", "mine", 0.5, points=3)
    failure = {"codec": "mine", "point": {"crf": 3.0}, "dataset": "toy", "sequence": "a", "reason": "out of memory"}
    with open(f"{two}/failures.jsonl", "w") as file:
        file.write(json.dumps(failure) + "\n")
    main(["table", one, two])
    assert "mine failed at crf 3: out of memory" in " ".join(capsys.readouterr().out.split())
    main(["table", one, two, run("3", "mine", 0.5)])
    assert "out of memory" not in capsys.readouterr().out


def test_settings_and_anchors_can_be_chosen(run, capsys):
    folders = run("1", "x265"), run("2", "mine", 0.5)
    main(["table", *folders, "--anchor", "mine", "--method", "akima", "--min-overlap", "0.25"])
    out = capsys.readouterr().out
    assert "Akima" in out and "25% overlap" in out and "+100.0" in out and "against mine" in out
    assert "have x265, mine" in failed(capsys, *folders, "--anchor", "x266")
    assert "bd.min_overlap=2.0" in failed(capsys, *folders, "--min-overlap", "2")


def test_nothing_to_show_is_an_error(capsys, tmp_path):
    assert "--published FILE" in failed(capsys)
    assert "holds no results.jsonl" in failed(capsys, str(tmp_path))


def test_published_curves_need_no_run(capsys, tmp_path):
    for name, factor in (("x264", 1.0), ("vtm", 0.5)):
        results = {"bitrate": [factor * 2**i for i in range(4)], "psnr-rgb": QUALITY}
        (tmp_path / f"{name}.json").write_text(json.dumps({"name": name, "results": results}))
    main(["table", "--published", str(tmp_path), "--anchor", "x264"])
    out = capsys.readouterr().out
    assert "on published mean curves" in out and "vtm (published)" in out and "-50.0" in out
