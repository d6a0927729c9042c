"""``pvc demo``: the main job in small, by the commands a user would type, on clips that pvc makes itself."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

TRAIN = (
    "experiment=tiny",
    "data=synthetic",
    "resume=true",
    "+trainer.max_time=00:00:01:00",
    "+trainer.limit_val_batches=0",
)
EVAL = (
    "data=synthetic",
    "sequences=[cat-on-grass,cup-on-bricks,garage]",
    "codecs=[x264,x265,ssf-tiny,mr-md-ssf-tiny]",
    "anchor=x265",
    "baseline=ssf-tiny",
    "frames=12",
    "crf=[22,26,30,34,38,42,46]",
    "beta=[1e-4,4e-4,1.6e-3,6.4e-3]",
    "u_alpha=[1.0,0.2]",
    "metrics=[psnr]",
    "bd.min_overlap=0.25",  # at this alpha the background loses several dB, and few clips share more of the curve
)


def override(key: str, value: str | Path) -> str:
    """``key=value`` quoted as Hydra's grammar wants it, so that a path may hold blanks, commas, quotes and the like."""
    # A backslash stands for itself, except before a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + (m[2] and "\\'"), str(value))
    return f"{key}='{escaped}'"


def _run(command: str, *overrides: str) -> None:
    """Run ``pvc command overrides`` as a process of its own, so that the demo is nothing but these commands.

    Raises:
        SystemExit: with the command's code where it fails; it has said why.
    """
    print(f"$ pvc {command} {shlex.join(overrides)}", flush=True)
    try:
        done = subprocess.run([sys.executable, "-m", "pvc.cli", command, *overrides])
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # the command got the signal too and says so
    if done.returncode:
        raise SystemExit(done.returncode)


def demo(out: str | Path, *, train: bool = False) -> None:
    """Evaluate x264, x265 and the released tiny models on synthetic clips: prints the table, leaves all in ``out``.

    Args:
        out: Folder for records, tables, plots and the report. Finished jobs in it are not run again.
        train: First train the tiny configuration for a minute, into ``out/train``.
    """
    out = Path(out).absolute()
    if train:
        _run("train", *TRAIN, override("out", out / "train"))
    _run("eval", *EVAL, override("out", out / "eval"))
    print(f"\nrecords, tables and plots: {out / 'eval'}\nreport: {out / 'eval' / 'report.html'}")
    if train:
        trained = out / "train" / "model.safetensors"
        print(f"the model of one minute: {trained} (pvc encode --model and pvc eval take it by this path)")
