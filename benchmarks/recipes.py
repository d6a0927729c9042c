"""What each recipe of training gains: the same start, data and CPU time, then real streams of held-out scenes.

    python benchmarks/recipes.py --data DIR [--start mr-md-ssf-tiny] [--minutes 5] [--work runs/recipes]

DIR is a folder of training clips. Each recipe goes on from the same checkpoint with the tiny recipe's schedule, over as
many steps as take the given minutes of one thread (a short trial tells how long its step takes), one after another.
Then all code the held-out scenes of DIR, one group of pictures each, and BD-rates are taken against the first recipe.
Writes docs/results/recipes.md. What is done already in ``--work`` is not done again.
"""

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path

from omegaconf import OmegaConf

from pvc.data.clips import ClipFolder
from pvc.evaluation.comparison import Row, compare
from pvc.evaluation.records import load_runs
from pvc.metrics.bd_rate import Settings
from pvc.paths import config_dir

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results" / "recipes.md"
RECIPES = {
    "plain": ([], "6 frames, gradients through P-frames (the tiny recipe)"),
    "single": (["training.through=none"], "each frame's loss reaches that frame only"),
    "intra": (["training.through=all"], "gradients also reach the I-frame"),
    "ema": (["ema=0.98"], "running mean of the weights"),
    "longer": (["data.frames=12", "data.batch_size=2"], "12 frames, half as many clips"),
    "lead": (
        ["data.frames=12", "training.lead=6"],
        "up to 6 P-frames before the 5 that count: random places in the GOP",
    ),
}


def train(out: Path, steps: int, overrides: list[str], args: argparse.Namespace) -> float:
    """Run a training; its CPU seconds."""
    command = [sys.executable, "-m", "pvc.train", "experiment=tiny", "data=clips", f"data.root={args.data}"]
    command += [
        "data.frames=6",
        "data.batch_size=4",
        "data.workers=0",
        "data.on_error=skip",
        f"warm_start={args.start}",
        "page=null",
    ]
    command += ["training.optimizer.lr=2e-4", "training.scheduler.warmup=20", f"trainer.max_steps={steps}"]
    command += ["trainer.val_check_interval=100000", "pictures_every=0", "resume=true", *overrides, f"out={out}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Train, code, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of training clips; without it nothing is run")
    parser.add_argument("--start", default="mr-md-ssf-tiny", help="checkpoint that all go on from")
    parser.add_argument("--minutes", type=float, default=5, help="training time of each (default: 5)")
    parser.add_argument("--frames", type=int, default=24, help="frames of each scene, one GOP (default: 24)")
    parser.add_argument("--only", nargs="*", choices=list(RECIPES), default=list(RECIPES), help="recipes to run")
    parser.add_argument("--work", type=Path, default=Path("runs/recipes"), help="where the runs go")
    args = parser.parse_args()
    if args.data is None:
        print("nothing is run without --data DIR, a folder of training clips")
        return
    rows = []
    for name in args.only:
        overrides, what = RECIPES[name]
        model, notes = args.work / f"{name}.safetensors", args.work / f"{name}.steps"
        if not model.exists():
            short, long = (train(args.work / "trial" / f"{name}-{n}", n, overrides, args) for n in (4, 16))
            seconds = max(long - short, 0.1) / 12
            steps = round(args.minutes * 60 / seconds)
            train(args.work / "runs" / name, steps, overrides, args)
            notes.write_text(f"{steps} {seconds:.2f}")
            os.link(args.work / "runs" / name / "model.safetensors", model)
        rows.append((name, what, *notes.read_text().split()))
    held_out = OmegaConf.load(config_dir() / "data" / "clips.yaml").source.default_val
    scenes = [c for c in ClipFolder(args.data, default_val=held_out, cache=None).val() if c.has_mask]
    codecs = [args.start, *(str(args.work / f"{name}.safetensors") for name in args.only)]
    command = ["eval", "data=clips", f"data.root={args.data}", f"codecs=[{','.join(codecs)}]", f"frames={args.frames}"]
    command += ["anchor=plain", f"sequences=[{','.join(c.name for c in scenes)}]", "beta=[1e-4,4e-4,1.6e-3,6.4e-3]"]
    command += ["metrics=[psnr]", "u_alpha=[1.0,0.2]", f"gop={args.frames}", "bd.min_overlap=0.25"]
    subprocess.run([sys.executable, "-m", "pvc.cli", *command, f"out={args.work / 'eval'}"], check=True)
    PAGE.write_text(page(rows, args, len(scenes)))
    print(PAGE.read_text())


def page(rows: list, args: argparse.Namespace, scenes: int) -> str:
    """The page: what each recipe gains over the first, without a map and, in the ROI, with one."""
    found = compare(load_runs([args.work / "eval"]), ["plain"], Settings(min_overlap=0.25))
    start = Path(args.start).stem
    lines = [
        "# What recipes gain at equal compute",
        "",
        f"Each goes on from {start} for {args.minutes:g} minutes of one thread; then {scenes} held-out scenes of the "
        f"training clips with true masks, one group of pictures of {args.frames} frames each, real streams. BD-rates "
        "in PSNR against `plain`, means over scenes, in %: less is better.",
        "",
        "| recipe | what | steps | s a step | alpha = 1 | ROI, alpha = 26.5 | background, alpha = 26.5 |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, what, steps, seconds in [(start, "the start, not trained further", "0", "-"), *rows]:
        cells = [bd(found, name, u, metric) for u, metric in ((1.0, "psnr"), (0.2, "psnr_roi"), (0.2, "psnr_bg"))]
        lines.append(f"| {name} | {what} | {steps} | {seconds} | {' | '.join(cells)} |")
    command = f"python benchmarks/recipes.py --data DIR --minutes {args.minutes:g} --frames {args.frames}"
    return "\n".join([*lines, "", f"    {command}", ""])


def bd(rows: list[Row], codec: str, u_alpha: float, metric: str) -> str:
    """Mean BD-rate of ``codec`` against ``plain`` with the same map, as a cell."""
    wanted = (codec, u_alpha, u_alpha, metric, "mean")
    for row in rows:
        if (row.codec, row.u_alpha, row.anchor_u_alpha, row.metric, row.sequence) == wanted:
            return f"{row.bd_rate:+.1f}" if row.bd_rate is not None else row.reason
    return "-"


if __name__ == "__main__":
    main()
