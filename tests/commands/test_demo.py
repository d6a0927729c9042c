"""``pvc demo`` is the commands it prints: they compose, in the order of the job, wherever its folder is."""

import pytest
from hydra import compose, initialize_config_dir

from pvc.commands import demo
from pvc.data import sequences
from pvc.paths import config_dir
from tests.processes import run


def composed(name: str, *overrides: str):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(name, list(overrides))


def test_its_evaluation_is_one_that_pvc_eval_takes():
    cfg = composed("eval", *demo.EVAL)
    assert set(cfg.sequences) <= {s.name for s in sequences(cfg.data)}
    assert {cfg.anchor, cfg.baseline} <= set(cfg.codecs)
    assert min(len(cfg.crf), len(cfg.beta)) >= 4  # fewer points give no BD-rate


def test_its_training_is_one_that_pvc_train_takes():
    cfg = composed("train", *demo.TRAIN)
    assert cfg.trainer.max_time == "00:00:01:00"


@pytest.mark.parametrize("folder", ["runs/a", "my runs/a=b, c", "it's [here]", "back\\slash", "ends\\", "both\\'"])
def test_any_folder_reaches_the_command_as_it_is(folder):
    assert composed("eval", demo.override("out", folder)).out == folder


@pytest.mark.parametrize(("train", "commands"), [(False, ["eval"]), (True, ["train", "eval"])])
def test_it_runs_the_commands_in_order_and_says_where_the_report_is(train, commands, monkeypatch, tmp_path, capsys):
    ran = []
    monkeypatch.setattr(demo, "_run", lambda command, *overrides: ran.append((command, overrides[-1])))
    demo.demo(tmp_path, train=train)
    assert ran == [(c, demo.override("out", tmp_path / c)) for c in commands]
    assert str(tmp_path / "eval" / "report.html") in capsys.readouterr().out


def test_it_ends_with_the_code_of_a_command_that_fails(tmp_path):
    with pytest.raises(SystemExit) as done:
        demo._run("eval", "nonsense=1", demo.override("out", tmp_path))
    assert done.value.code == 2


def test_pvc_eval_and_pvc_table_make_a_table_in_any_folder(tmp_path):
    small = ("frames=2", "crf=[20,26,32,38]", "metrics=[psnr]", "data.source.size=[64,96]", "sequences=[garage]")
    done = run("pvc.cli", "eval", "data=synthetic", "codecs=[x264,x265]", *small, "out=run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run("pvc.cli", "table", "run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "BD-rate" in done.stdout and "x264" in done.stdout and "ROI PSNR" in done.stdout
    assert (tmp_path / "run" / "report.html").is_file()
