"""Folders of the runs of a sweep: named by what was asked for, short, and never the same for two runs."""

import pytest
from omegaconf import OmegaConf

import pvc.hydra_entry
from pvc.hydra_entry import MOST_CHARACTERS


def _name(overrides: str) -> str:
    config = {"hydra": {"overrides": overrides, "subdir": "${sweep_name:${hydra.overrides}}"}}
    return OmegaConf.create(config).hydra.subdir


def test_short_overrides_are_the_name():
    assert _name("model.beta=1e-4,seed=3") == "model.beta=1e-4,seed=3"
    assert _name("codecs=[x264,x265],frames=2") == "codecs=[x264,x265],frames=2"
    assert _name("") == "run"


@pytest.mark.parametrize("swept", ["beach", "park"])
def test_a_long_name_keeps_what_is_swept_and_no_two_are_alike(swept):
    rest = "codecs=[x264,x265,svtav1,vvenc],crf=[17,20,23,26,29,32,35,38,41],metrics=[psnr,ms_ssim,vmaf,lpips]"
    name = _name(f"{rest},sequences={swept}")
    assert len(name) <= MOST_CHARACTERS and name.startswith(f"sequences={swept},codecs=[x264,")
    other = _name(f"{rest},points={{svtav1:{{crf:[50,60]}}}},sequences={swept}")
    assert other != name and len(other) <= MOST_CHARACTERS


def test_a_path_makes_no_folders_within_folders():
    assert _name("weights_dir=/data/weights") == "weights_dir=_data_weights"


def test_what_another_command_has_told_hydra_brings_no_traceback(monkeypatch, capsys):
    """A process that a command starts inherits what makes Hydra raise; only the user asks for tracebacks."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("PVC_HYDRA_RAISES", "1")
    monkeypatch.setattr("sys.argv", ["pvc eval", "no_such_key=1"])
    with pytest.raises(SystemExit) as ended:
        pvc.hydra_entry.hydra_entry("eval")(lambda cfg: None)()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("pvc: error: there is no key no_such_key")


def test_every_command_with_sweeps_names_its_folders_so():
    for command in ("eval", "train"):
        config = OmegaConf.load(pvc.hydra_entry.config_dir() / f"{command}.yaml")
        text = OmegaConf.to_container(config)["hydra"]["sweep"]["subdir"]
        assert text == "${sweep_name:${hydra.job.override_dirname}}"
