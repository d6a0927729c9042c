"""An evaluation whose codec runs on a GPU records what one on a CPU does."""

import pytest

from pvc.codecs.neural import NeuralCodec
from pvc.evaluation import evaluate
from pvc.metrics import load_metrics
from pvc.models.checkpoint import save_model
from tests.models.conftest import make, wake


def test_records_are_those_of_a_cpu(gpu, sequence, settings, tmp_path):
    save_model(wake(make("patch", multirate=True, roi=True)), tmp_path / "tiny.safetensors")
    asked, found = settings | {"beta": [8e-4], "u_alpha": [1.0, 0.2]}, {}
    for device in ("cpu", gpu):
        codec = NeuralCodec(tmp_path / "tiny.safetensors", device, gop=2)
        done = evaluate([codec], [sequence("a", frames=2)], load_metrics(["psnr"]), tmp_path / device, asked)
        found[device] = done.records
    for one, two in zip(found["cpu"], found[gpu], strict=True):
        assert (one.point, one.frames, one.gop) == (two.point, two.frames, two.gop)
        assert two.bits == pytest.approx(one.bits, rel=0.02)  # its search for motion finds nearly the same
        assert two.metrics == pytest.approx(one.metrics, abs=0.1)
