"""Weights: found where a user would put them, and where not, one line says which file goes where."""

import socket

import numpy as np
import pytest
import torch

from pvc.errors import ConfigError, MissingWeights
from pvc.metrics import check_available, load_metrics, metric_names
from pvc.metrics.features import FeatureDistance
from pvc.metrics.lpips import Lpips
from pvc.weights import find_weights

ALEXNET = "alexnet-owt-7be5be79.pth"


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a metric went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_missing_weights_name_the_file_and_the_folders(nowhere, tmp_path, monkeypatch, clip, offline):
    monkeypatch.setenv("PVC_WEIGHTS", str(tmp_path / "mine"))
    metric = Lpips(weights_dir=str(tmp_path / "configured"))
    scores = metric(clip, clip)
    assert scores.values == {} and set(scores.unavailable) == {"lpips", "lpips_roi", "lpips_bg"}
    reason = scores.unavailable["lpips"]
    for part in (ALEXNET, tmp_path / "configured", tmp_path / "mine", nowhere, "weights_dir", "PVC_WEIGHTS"):
        assert str(part) in reason
    assert "\n" not in reason
    assert check_available([metric]) == scores.unavailable


def test_without_any_weights_the_other_metrics_are_available(nowhere, offline):
    metrics = load_metrics(metric_names())
    missing = check_available(metrics)
    assert {"lpips", "lpips_vgg", "dists", "fid", "kid", "brisque", "feat_squeezenet11"} <= set(missing)
    assert not {"psnr", "psnr_y", "psnr_yuv", "wpsnr", "ssim", "ms_ssim", "vmaf", "blur"} & set(missing)
    assert all(name in missing["dists"] for name in ("vgg16-397923af.pth", "dists_weights.pt"))
    for metric in metrics:
        metric.start().close()  # says why instead of failing


@pytest.mark.parametrize("place", ["config", "environment", "cache"])
def test_weights_are_found_in_all_usual_places(nowhere, tmp_path, monkeypatch, place):
    folder = {"config": tmp_path / "a", "environment": tmp_path / "b", "cache": nowhere}[place]
    folder.mkdir(parents=True)
    (folder / "some.pth").write_bytes(b"weights")
    monkeypatch.setenv("PVC_WEIGHTS", f"{tmp_path / 'none'}:{tmp_path / 'b'}")
    assert find_weights("some.pth", tmp_path / "a") == folder / "some.pth"
    assert find_weights(("other.pth", "some.pth"), tmp_path / "a") == folder / "some.pth"
    assert find_weights(str(folder / "some.pth")) == folder / "some.pth"
    with pytest.raises(MissingWeights, match=r"other\.pth"):
        find_weights("other.pth", tmp_path / "a")


def test_damaged_or_foreign_files_are_named_in_one_line(nowhere, tmp_path, clip, stand_in):
    (tmp_path / ALEXNET).write_bytes(stand_in("alexnet").read_bytes()[:1000])
    (tmp_path / "garbage.pth").write_bytes(b"not weights at all")
    (tmp_path / "garbage.npz").write_bytes(b"not arrays at all")
    cases = {
        ALEXNET: "not what its name says",
        "garbage.pth": "cannot be read",
        str(stand_in("squeezenet1_1")): "of another network",
    }
    for file, what in cases.items():
        (reason,) = set(Lpips(weights=file, weights_dir=str(tmp_path))(clip, clip).unavailable.values())
        assert what in reason and file in reason and "\n" not in reason and len(reason) < 500
    for pack in (np.savez, np.savez_compressed):
        pack(tmp_path / f"{pack.__name__}.npz", array=np.arange(1000.0))
        whole = bytearray((tmp_path / f"{pack.__name__}.npz").read_bytes())
        whole[80:112] = bytes(32)
        (tmp_path / f"{pack.__name__}.npz").write_bytes(whole)
    for file in ("garbage.npz", "savez.npz", "savez_compressed.npz"):
        (reason,) = set(FeatureDistance(weights=file, weights_dir=str(tmp_path))(clip, clip).unavailable.values())
        assert "cannot be read" in reason and file in reason


def test_identity_holds_the_weights_and_nothing_of_the_machine(nowhere, tmp_path, stand_in):
    file = tmp_path / "alexnet.pth"
    file.write_bytes(stand_in("alexnet").read_bytes())
    here = Lpips(weights=str(stand_in("alexnet"))).identity
    assert here == Lpips(weights="alexnet.pth", weights_dir=str(tmp_path), device="cuda").identity
    assert here["net"] == "alex" and str(tmp_path) not in str(here)
    state = torch.load(file)
    torch.save({k: v + 1 for k, v in state.items()}, file)
    assert here != Lpips(weights=str(file)).identity
    assert Lpips().identity.keys() == {"net", "threshold", "libraries"}


def test_loading_finds_damage_that_looking_does_not(nowhere, tmp_path, stand_in):
    (tmp_path / "cut.pth").write_bytes(stand_in("alexnet").read_bytes()[:1000])
    metric = Lpips(weights="cut.pth", weights_dir=str(tmp_path))
    assert check_available([metric]) == {}
    (reason,) = set(check_available([metric], load=True).values())
    assert "cut.pth" in reason and "cannot be read" in reason


def test_values_of_other_library_versions_are_told_apart(monkeypatch):
    before = {metric.names[0]: metric.identity for metric in load_metrics(metric_names())}
    monkeypatch.setattr("pvc.versions.version", lambda package: "0.0.1")
    after = {metric.names[0]: metric.identity for metric in load_metrics(metric_names())}
    assert {name for name in before if before[name] == after[name]} == {"psnr", "psnr_mse", "wpsnr"}  # exact sums
    assert after["ms_ssim"]["libraries"] == {"piq": "0.0.1", "torch": "0.0.1"}
    assert {"av", "ffmpeg", "imageio-ffmpeg's ffmpeg"} == after["vmaf"]["libraries"].keys()


def test_settings_reach_the_families_that_have_them():
    psnr, lpips = load_metrics(["psnr", {"lpips": {"net": "vgg"}}], device="cuda:3", weights_dir="W")
    assert (lpips.net, lpips.device, lpips.weights_dir) == ("vgg", "cuda:3", "W")
    assert psnr.identity == {"threshold": 0.5}
    assert load_metrics(["lpips"], weights_dir=None)[0].device == "cpu"
    with pytest.raises(ConfigError, match=r"lpips.*nett.*net"):
        load_metrics([{"lpips": {"nett": "vgg"}}])
    with pytest.raises(ConfigError, match=r"lpips_vgg.*twice"):
        load_metrics(["lpips_vgg", {"lpips": {"net": "vgg"}}])
    with pytest.raises(ConfigError, match="squeezenet11"):
        load_metrics([{"features": {"backbone": "resnet"}}])


def test_an_impossible_device_is_named(stand_in, clip):
    with pytest.raises(ConfigError, match="cuda:99"):
        FeatureDistance(weights=str(stand_in("squeezenet1_1")), device="cuda:99")(clip, clip)
