"""VMAF by the real binary: its own numbers, nothing left behind, and a reason where there is no value."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import imageio_ffmpeg
import pytest
import torch
import torch.nn.functional as F

from pvc.metrics.vmaf import Vmaf
from pvc.video import write_clip

if reason := Vmaf().missing():
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def qcif():
    """uint8 ``[4, 3, 144, 176]``: a texture that moves by two pixels a frame."""
    wide = F.interpolate(
        torch.rand(1, 3, 36, 50, generator=torch.Generator().manual_seed(1)), (144, 200), mode="bicubic"
    )
    wide = (wide.clamp(0, 1) * 255).to(torch.uint8)[0]
    return torch.stack([wide[..., 2 * t : 2 * t + 176] for t in range(4)])


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_is_what_ffmpeg_says_of_two_files(qcif, blurred, temporary):
    decoded = blurred(qcif, 5)
    write_clip(temporary / "r.y4m", qcif, fps=25)
    write_clip(temporary / "d.y4m", decoded, fps=25)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", "d.y4m", "-i", "r.y4m", "-lavfi"]
    subprocess.run([*command, "libvmaf=log_fmt=json:log_path=v.json", "-f", "null", "-"], cwd=temporary, check=True)
    expected = json.loads((temporary / "v.json").read_text())["pooled_metrics"]["vmaf"]["mean"]
    assert Vmaf()(qcif, decoded).values["vmaf"] == pytest.approx(expected, abs=1e-5)


def test_identity_is_high_and_blur_is_lower(qcif, blurred):
    same, little, much = (Vmaf()(qcif, d).values["vmaf"] for d in (qcif, blurred(qcif, 3), blurred(qcif, 9)))
    assert same > 90 and same > little > much >= 0


def test_models_have_values_of_their_own(qcif, blurred):
    decoded = blurred(qcif, 5)
    values = {}
    for model in ("default", "neg", "phone"):
        values |= Vmaf(model=model)(qcif, decoded).values
    assert values["vmaf_neg"] <= values["vmaf"] < values["vmaf_phone"]


def test_chunks_and_odd_sizes(qcif, blurred, temporary):
    clip, decoded = (c[..., :143, :175] for c in (qcif, blurred(qcif)))
    whole, parts = Vmaf().start(), Vmaf().start()
    whole.add(clip, decoded, None)
    for r, d in zip(clip.split([1, 3]), decoded.split([1, 3])):
        parts.add(r, d, None)
    assert whole.scores() == parts.scores()
    assert list(temporary.iterdir()) == []


def test_small_and_empty_clips_have_reasons(clip):
    scores = Vmaf()(clip[..., :20], clip[..., :20])
    assert scores.values == {} and "20x48" in scores.unavailable["vmaf"]
    assert Vmaf().start().scores().unavailable == {"vmaf": "the clip has no frames"}


def test_close_ends_ffmpeg_and_leaves_nothing(clip, temporary):
    run = Vmaf().start()
    run.add(clip, clip, None)
    process = run._process
    assert process.poll() is None
    run.close()
    assert process.poll() is not None
    assert list(temporary.iterdir()) == []
    run.close()


def test_a_process_that_dies_is_a_reason(clip, temporary):
    run = Vmaf().start()
    run.add(clip, clip, None)
    run._process.kill()
    run._process.wait()
    for _ in range(20):
        run.add(clip, clip, None)
    scores = run.scores()
    assert scores.values == {} and "exit code -9" in scores.unavailable["vmaf"]
    assert list(temporary.iterdir()) == []


def test_ffmpeg_ends_with_the_process_that_feeds_it(tmp_path):
    """A killed evaluation leaves no FFmpeg behind: its end of the pipe closes."""
    script = (
        "import os, signal, torch; from pvc.metrics.vmaf import Vmaf; run = Vmaf().start();"
        "x = torch.zeros(1, 3, 48, 64, dtype=torch.uint8); run.add(x, x, None);"
        "print(run._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment).stdout
    status = Path(f"/proc/{int(out)}/stat")
    for _ in range(600):
        if not status.exists() or status.read_text().split()[2] == "Z":
            return
        subprocess.run(["sleep", "0.1"], check=True)
    pytest.fail("FFmpeg still runs a minute after")
