"""``pvc demo``: the main job in small, by the commands a user would type, on clips that pvc makes itself."""

import shlex
import subprocess
import sys
from pathlib import Path

CODECS = ("x264", "x265", "ssf-tiny", "mr-md-ssf-tiny")
TRAIN = (
    "experiment=tiny",
    "data=synthetic",
    "+trainer.max_time=00:00:01:00",
    "trainer.limit_val_batches=0",
)
EVAL = (
    "data=synthetic",
    f"codecs=[{','.join(CODECS)}]",
    "anchor=x265",
    "frames=12",
    "u_alpha=[1.0,0.2]",
)


def override(key: str, value: str | Path) -> str:
    """``key=value`` with the value quoted as Hydra's grammar wants it, whatever characters a path holds."""
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
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
    print(f"\nplots, tables and records: {out / 'eval'}\nreport: {out / 'eval' / 'report.html'}")
