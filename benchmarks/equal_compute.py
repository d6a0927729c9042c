"""What the tiny models' departure from the paper's network gains: both trained for the same time on the same cores.

    python benchmarks/equal_compute.py --data DIR [--minutes 10] [--width 48] [--latent 64] [--work runs/equal-compute]

DIR is a folder of training clips. The paper's network (convolutions only, `model=ssf` at a smaller width) and the tiny
one train from scratch at one beta, at the same time with half of the cores each, and then code the held-out scenes of
DIR to real streams. Writes docs/results/equal_compute.md.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean

from omegaconf import OmegaConf

from pvc.data.clips import ClipFolder
from pvc.evaluation import load_runs
from pvc.models.checkpoint import load_state, read_model_info
from pvc.paths import config_dir

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results" / "equal_compute.md"
BETA = "4e-4"


def train(name: str, overrides: list[str], args: argparse.Namespace, cores: list[int]) -> subprocess.Popen:
    """Start a run that stops after ``args.minutes``."""
    command = [sys.executable, "-m", "pvc.train", "experiment=ssf_tiny", "data=clips", f"data.root={args.data}"]
    command += [f"model.beta={BETA}", "data.frames=4", "data.batch_size=6", "training.optimizer.lr=8e-4"]
    command += ["training.scheduler.final=1.0", "trainer.max_steps=100000", "trainer.val_check_interval=100000"]
    command += [f"+trainer.max_time=00:{args.minutes // 60:02d}:{args.minutes % 60:02d}:00", "pictures_every=0"]
    command += ["data.workers=0", *overrides, f"out={args.work / 'runs' / name}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(len(cores))}
    return subprocess.Popen(command, env=environment, preexec_fn=lambda: os.sched_setaffinity(0, cores))


def main() -> None:
    """Train, code, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of training clips; without it nothing is run")
    parser.add_argument("--minutes", type=int, default=10, help="training time of each (default: 10)")
    parser.add_argument("--width", type=int, default=48, help="width of the paper's network (default: 48)")
    parser.add_argument("--latent", type=int, default=64, help="latents of the paper's network (default: 64)")
    parser.add_argument("--frames", type=int, default=12, help="frames of each scene to code (default: 12, one GOP)")
    parser.add_argument("--work", type=Path, default=Path("runs/equal-compute"), help="where the runs go")
    args = parser.parse_args()
    if args.data is None:
        print("nothing is run without --data DIR, a folder of training clips")
        return
    cores = sorted(os.sched_getaffinity(0))
    half = max(1, len(cores) // 2)
    networks = {
        "paper's network": ["model=ssf", f"model.width={args.width}", f"model.latent={args.latent}"],
        "tiny network": [],
    }
    if args.work.exists():
        sys.exit(f"{args.work} is there already; delete it, or name another folder with --work")
    runs = {
        name: train(name.replace("'", "").replace(" ", "-"), extra, args, part)
        for (name, extra), part in zip(networks.items(), (cores[:half], cores[-half:]), strict=True)
    }
    if any(run.wait() for run in runs.values()):
        sys.exit("a training run failed")
    held_out = OmegaConf.load(config_dir() / "data" / "clips.yaml").source.default_val
    scenes = [clip.name for clip in ClipFolder(args.data, default_val=held_out, cache=None).val()]
    lines = [
        f"# The tiny network against the paper's at equal compute\n\nBoth from scratch at beta = {BETA}, "
        f"{args.minutes} minutes on {half} CPU core{'s' * (half > 1)} each; then {len(scenes)} held-out scenes of the "
        f"training clips, {args.frames} frames each, real streams, means over scenes. Both are single-rate SSF "
        "with the optimiser and loss of the tiny recipe; beta conditions and map inputs are the same in both and left "
        "out. "
        "The tiny network starts from a block transform and gets a classical flow as a hint; the paper's starts from "
        "noise. beta R + D counts bits per pixel and 10^(-PSNR / 10).\n",
        "| | steps | parameters | bpp | PSNR | beta R + D |\n|---|---:|---:|---:|---:|---:|",
    ]
    for name in networks:
        folder = args.work / "runs" / name.replace("'", "").replace(" ", "-")
        out = args.work / "eval" / folder.name
        command = ["eval", "data=clips", f"data.root={args.data}", f"codecs=[{folder / 'model.safetensors'},x265]"]
        command += ["anchor=x265", "crf=[32]", f"sequences=[{','.join(scenes)}]", f"frames={args.frames}"]
        command += ["metrics=[psnr]", "u_alpha=[1.0]", f"out={out}"]
        subprocess.run([sys.executable, "-m", "pvc.cli", *command], check=True)
        records = [r for r in load_runs([out]) if r.codec != "x265"]
        rate, quality = fmean(r.bpp for r in records), fmean(r.metrics["psnr"] for r in records)
        cost = fmean(float(BETA) * r.bpp + 10 ** (-r.metrics["psnr"] / 10) for r in records)
        weights = folder / "model.safetensors"
        steps, state = read_model_info(weights)["meta"]["steps"], load_state(weights)
        parameters = sum(v.numel() for k, v in state.items() if not k.split(".")[-1].startswith("_"))
        lines.append(f"| {name} | {steps} | {parameters / 1e6:.1f} M | {rate:.3f} | {quality:.2f} | {cost:.2e} |")
    command = f"python benchmarks/equal_compute.py --data DIR --minutes {args.minutes}"
    lines.append(f"\n    {command} --width {args.width} --latent {args.latent}\n")
    PAGE.write_text("\n".join(lines))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
