"""Training step time and peak memory of pvc's models against CompressAI's ScaleSpaceFlow, in one run.

Same batch, same machine, Adam, rate-distortion loss, forward + backward + step. CompressAI's model has one size (width
128, latent 192), so `ssf` and `mr_md_ssf` are compared at that size; the tiny model is listed for scale. Each model
runs in a process of its own, so that peak memory is its own.

    python benchmarks/train_step.py [--size 128] [--batch 1] [--frames 3] [--steps 5] [--threads N] [--device cpu]
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from pvc.losses.rate_distortion import RateDistortion
from pvc.paths import config_dir

MODELS = ("compressai ScaleSpaceFlow", "ssf", "mr_md_ssf", "ssf_tiny", "mr_md_ssf_tiny")


def step_function(name: str, frames: torch.Tensor):
    """A function that makes one training step of model ``name``, and its number of parameters."""
    n, t, _, h, w = frames.shape
    beta = torch.full((n,), 4e-4, device=frames.device)
    loss = RateDistortion()
    if name.startswith("compressai"):
        from compressai.models.video import ScaleSpaceFlow

        model = ScaleSpaceFlow().to(frames.device).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

        def forward():
            out = model(list(frames.unbind(1)))
            bits = [
                -sum(torch.log2(v).flatten(1).sum(1) for part in frame.values() for v in part.values())
                for frame in out["likelihoods"]
            ]
            return torch.stack(out["x_hat"], 1), torch.stack(bits, 1)

    else:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            model = instantiate(compose("train", [f"model={name}"]).model)
        model = model.to(frames.device, memory_format=torch.channels_last).train()
        optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=1e-4)
        q = torch.ones(n, t, 1, h, w, device=frames.device)

        def forward():
            out = model(frames, beta, q)
            return out.x_hat, out.bits

    def step():
        x_hat, bits = forward()
        loss(frames, x_hat, bits, beta)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, sum(p.numel() for p in model.parameters())


def measure(name: str, args: argparse.Namespace) -> dict:
    """Median step time in seconds and peak memory in MiB of ``name``."""
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    frames = torch.rand(args.batch, args.frames, 3, args.size, args.size, device=args.device)
    frames = torch.nn.functional.avg_pool3d(frames, (1, 9, 9), 1, (0, 4, 4))  # smooth, so that latents are as usual
    step, parameters = step_function(name, frames)
    cuda = frames.is_cuda
    times = []
    for _ in range(args.steps + 2):
        start = time.perf_counter()
        step()
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    peak = (
        torch.cuda.max_memory_allocated() / 2**20
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    )
    return {"model": name, "parameters": parameters, "seconds": statistics.median(times[2:]), "peak_mib": peak}


def main() -> None:
    """Measure all models and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=MODELS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args.only, args)))
        return
    where = (
        torch.cuda.get_device_name()
        if args.device.startswith("cuda")
        else f"{args.threads} threads, {platform.machine()}"
    )
    print(f"{args.batch} x {args.frames} x 3 x {args.size} x {args.size}, {where}, torch {torch.__version__}")
    print(f"{'model':28}{'parameters':>12}{'s a step':>10}{'clips/s':>10}{'peak MiB':>10}")
    for name in MODELS:
        line = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", name], capture_output=True, text=True)
        if line.returncode:
            sys.exit(line.stderr)
        r = json.loads(line.stdout.splitlines()[-1])
        rate = args.batch / r["seconds"]
        print(
            f"{r['model']:28}{r['parameters'] / 1e6:>10.1f} M{r['seconds']:>10.3f}{rate:>10.2f}{r['peak_mib']:>10.0f}"
        )


if __name__ == "__main__":
    main()
