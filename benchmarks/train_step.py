"""Training speed of pvc against CompressAI's ``ScaleSpaceFlow`` in CompressAI's own example loop, in one run.

    python benchmarks/train_step.py [--size 128] [--batch 2] [--frames 3] [--rounds 4] [--threads 1]
                                    [--contenders NAME ...]
    python benchmarks/train_step.py --device cuda --size 256 --batch 8 --burst 20 [--compile reduce-overhead]
    python benchmarks/train_step.py --agree 10

CompressAI's loop is ``examples.train_video.train_one_epoch``, which its wheel installs: two optimisers (network and
quantiles), clipping to norm 1, rate-distortion loss. pvc's is Lightning's Trainer with pvc's module, as ``pvc train``
runs it. Both take batches from memory. CompressAI's network has one size (width 128, latent 192), which ``ssf`` and
``mr_md_ssf`` share; the tiny model is another network, listed for scale.

Each contender has a process of its own, so that its peak memory is its own (on a GPU, of the GPU), and they take turns:
a turn is ``--burst`` steps, a round one turn of each. Numbers are of the fastest turn; CPU time is counted over all
threads. A GPU is waited for at the ends of a turn only.

Two floors stand beside them: the time of the counted operations (convolutions and matrix products, forward and
backward; a product and a sum are two) in one large matrix product in the same precision, and that of the bytes which
those must read and write, and Adam for each weight (28), in one large copy. (They are counted in pvc's step, whose
optimiser is one operation.)

``--agree N`` trains ``ssf`` and CompressAI's network on the same batches from the same weights at 256x256, where
CompressAI's units of motion are defined, and prints the losses. The noise in place of rounding is drawn by each in its
own way, and Adam steps as far in pvc's pixels as in CompressAI's units of 128 pixels.
"""

import argparse
import contextlib
import multiprocessing
import os
import platform
import re
import time
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

THEIRS = "CompressAI"
FAST = ", bfloat16"
CONTENDERS = (THEIRS, "ssf", "mr_md_ssf", "ssf" + FAST, "mr_md_ssf" + FAST, "mr_md_ssf_tiny", "mr_md_ssf_tiny" + FAST)
BETA, RATE = 4e-4, 1e-4
COUNTED = ("convolution", "convolution_backward", "mm", "addmm", "bmm", "baddbmm")


class Traffic(TorchDispatchMode):
    """Sums the bytes that the operations in ``COUNTED`` read and write, and a fused Adam: 28 a weight."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ == "_fused_adam_":
            self.total += 28 * sum(p.numel() for p in args[0])
        if func.overloadpacket.__name__ in COUNTED:
            tensors = [t for t in (*args, *(out if isinstance(out, tuple) else (out,))) if isinstance(t, Tensor)]
            self.total += sum(t.numel() * t.itemsize for t in tensors)
        return out


class Turns:
    """Batches of a contender, handed out when it is its turn; endless, for loops that ask for a length."""

    def __init__(self, args: argparse.Namespace, pipe, theirs: bool, counting: bool):
        self.args, self.pipe, self.theirs, self.counting = args, pipe, theirs, counting
        self.dataset = range(2**40)
        self.operations = self.bytes = 0

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, i: int) -> list[Tensor] | dict[str, Tensor]:
        """Batch ``i``: smooth pictures that move, with a map."""
        n, t, size = self.args.batch, self.args.frames, self.args.size
        torch.manual_seed(i)
        wide = F.interpolate(torch.rand(n, 3, 2 + size // 8, 2 + size // 8), scale_factor=8, mode="bicubic").clamp(0, 1)
        frames = torch.stack([wide[..., 2 * k : 2 * k + size, 3 * k : 3 * k + size] for k in range(t)], dim=1)
        frames = (frames * 255).byte()
        pin = torch.Tensor.pin_memory if self.args.device == "cuda" else lambda x: x
        if self.theirs:
            return [pin(f.float() / 255) for f in frames.unbind(1)]
        roi = F.interpolate(torch.rand(n * t, 1, 4, 4), (size, size), mode="bilinear").unflatten(0, (n, t))
        return {"frames": pin(frames), "roi": pin(roi), "index": pin(torch.arange(i * n, (i + 1) * n))}

    def __iter__(self) -> Iterator:
        wait = torch.cuda.synchronize if self.args.device == "cuda" else lambda: None
        operations, traffic = FlopCounterMode(display=False), Traffic()
        number = count()
        if self.counting:
            with operations, traffic:  # they stay on while the step that takes the batch runs
                yield self.batch(next(number))
            self.operations, self.bytes = operations.get_total_flops(), traffic.total
        for _ in range(2):  # libraries start, graphs are compiled
            yield self.batch(next(number))
        self.pipe.send("ready")
        while self.pipe.recv() == "turn":
            batches = [self.batch(next(number)) for _ in range(self.args.burst)]
            wait()
            start, cpu = time.perf_counter(), time.process_time()
            yield from batches
            wait()
            steps = self.args.batch * self.args.burst
            self.pipe.send(((time.perf_counter() - start) / steps, (time.process_time() - cpu) / steps))


def train_theirs(turns: Turns, weights: Path) -> list[float]:
    """CompressAI's network in CompressAI's loop; the losses of all steps."""
    from compressai.models.video import ScaleSpaceFlow
    from examples.train_video import RateDistortionLoss, configure_optimizers, train_one_epoch

    losses = []

    class Recorded(RateDistortionLoss):
        def forward(self, *args):
            out = super().forward(*args)
            losses.append(out["loss"].detach())
            return out

    model = ScaleSpaceFlow()
    model.load_state_dict(torch.load(weights, weights_only=True))
    model = model.to(turns.args.device)
    optimizers = configure_optimizers(model, SimpleNamespace(learning_rate=RATE, aux_learning_rate=1e-3))
    with contextlib.redirect_stdout(None):  # a line every ten steps
        train_one_epoch(model, Recorded(1 / (BETA * 255**2)), turns, *optimizers, 0, 1.0)
    return [float(v) for v in losses]


def train_ours(name: str, turns: Turns, weights: Path) -> list[float]:
    """A model of pvc in Lightning's Trainer; the losses of all steps."""
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate
    from lightning import Callback, Trainer

    from pvc.losses.rate_distortion import RateDistortion
    from pvc.models.warm_start import warm_start
    from pvc.paths import config_dir
    from pvc.training.speed import arrange

    warnings.filterwarnings("ignore")  # Lightning's, of what a benchmark leaves out
    torch.set_float32_matmul_precision("high")
    losses, args = [], turns.args

    class Record(Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, index):
            losses.append(outputs["loss"].detach())

    model, fast = name.removesuffix(FAST), name.endswith(FAST)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        compiled = args.compile if fast else "false"
        overrides = [f"model={model}", f"model.beta={BETA}", f"training.compile={compiled}", "training.scheduler=null"]
        cfg = compose("train", [*overrides, f"training.optimizer.lr={RATE}"])
    codec = instantiate(cfg.model)
    if "tiny" not in model:
        warm_start(codec, weights)
    module = instantiate(cfg.training)(model=codec, loss=RateDistortion(factor=1 / BETA))
    trainer = Trainer(
        accelerator="gpu" if args.device == "cuda" else "cpu", devices=1, max_epochs=1, gradient_clip_val=1.0,
        precision="bf16-mixed" if fast else "32-true", limit_val_batches=0, callbacks=[Record()], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(arrange(module, trainer.strategy.root_device), turns)
    return [float(v) for v in losses]


def work(name: str, weights: Path, args: argparse.Namespace, pipe) -> None:
    """Answer each "turn" with wall and CPU seconds a clip, anything else with all that was counted."""
    torch.set_num_threads(args.threads)
    theirs = name == THEIRS
    turns = Turns(args, pipe, theirs, counting=args.compile == "false" or not name.endswith(FAST))
    losses = train_theirs(turns, weights) if theirs else train_ours(name, turns, weights)
    if args.device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    pipe.send((peak, turns.operations / args.batch, turns.bytes / args.batch, losses))


def measure(args: argparse.Namespace, weights: Path) -> tuple[dict, dict]:
    """(seconds, CPU seconds) a clip of every turn of each contender, and what each says at the end."""
    context, workers = multiprocessing.get_context("spawn"), {}
    for name in args.contenders:
        here, there = context.Pipe()
        context.Process(target=work, args=(name, weights, args, there), daemon=True).start()
        there.close()
        here.recv()  # one after the other: a start beside a measurement would disturb it
        workers[name] = here
    times = {name: [] for name in workers}
    for _ in range(args.rounds):
        for name, pipe in workers.items():
            pipe.send("turn")
            times[name].append(pipe.recv())
    for pipe in workers.values():
        pipe.send("end")
    return times, {name: pipe.recv() for name, pipe in workers.items()}


def print_table(args: argparse.Namespace, times: dict, ends: dict) -> None:
    """The fastest turn of each, a clip."""
    print("| | clips/s | CPU s/clip | peak MiB | GFLOP/clip | MB/clip | floor of operations, s | floor of bytes, s |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    first, copy = None, bandwidth(args.device)
    for name, (peak, operations, volume, _) in ends.items():
        wall, cpu = (min(t) for t in zip(*times[name]))
        if not operations:  # a compiled graph is not looked into
            operations, volume = ends.get(name.removesuffix(FAST), ends[name])[1:3]
        first = first or wall
        print(
            f"| {name} | {1 / wall:.2f} ({first / wall:.2f}x) | {cpu:.3f} | {peak:.0f} | {operations / 1e9:.0f} "
            f"| {volume / 1e6:.0f} | {operations / best_rate(args.device, name.endswith(FAST)):.3f} "
            f"| {volume / copy:.3f} |"
        )


def best_rate(device: str, fast: bool) -> float:
    """Operations a second of a large matrix product, on one core or the GPU."""
    a, b = (torch.randn(n, 1024, device=device, dtype=torch.bfloat16 if fast else torch.float32) for n in (4096, 1024))
    return 2 * len(a) * len(b) * 1024 / fastest(device, lambda: a @ b.T)


def bandwidth(device: str) -> float:
    """Bytes a second that a large copy reads and writes."""
    a = torch.zeros(2**26, device=device)
    b = torch.zeros_like(a)
    return 2 * a.numel() * a.itemsize / fastest(device, lambda: b.copy_(a))


def fastest(device: str, what) -> float:
    """Seconds of the fastest of eight."""
    torch.set_num_threads(1)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    clock = time.perf_counter if device == "cuda" else time.process_time
    seconds = []
    for _ in range(8):
        wait()
        start = clock()
        what()
        wait()
        seconds.append(clock() - start)
    return min(seconds)


def print_agreement(ends: dict) -> None:
    """The losses of every step, and how far pvc's are from CompressAI's."""
    losses = {name: end[-1] for name, end in ends.items()}
    print(f"| step | {' | '.join(losses)} |\n|---:|{'---:|' * len(losses)}")
    for i, row in enumerate(zip(*losses.values())):
        print(f"| {i} | {' | '.join(f'{loss:.4f}' for loss in row)} |")
    print()
    for name in list(losses)[1:]:
        apart = [100 * abs(b / a - 1) for a, b in zip(losses[THEIRS], losses[name])]
        print(f"{name}: {max(apart):.3g} % apart at most, {sum(apart) / len(apart):.3g} % in the mean")


def main() -> None:
    """Run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="of the square crop (default: 128)")
    parser.add_argument("--batch", type=int, default=2, help="clips a step (default: 2)")
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--burst", type=int, default=1, help="steps a turn; 20 or more on a GPU (default: 1)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--compile", default="false", help="training.compile of the bfloat16 contenders")
    parser.add_argument("--agree", type=int, default=0, metavar="N", help="compare the losses of N steps instead")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS[:-1])
    args = parser.parse_args()
    if args.agree:
        args.size, args.batch, args.frames, args.burst = 256, 1, 2, 1
        args.contenders = THEIRS, "ssf", "ssf" + FAST
        args.rounds = max(args.agree - 3, 0)  # the others are those before the first turn
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{platform.machine()}, {args.threads} threads"
    print(f"{args.batch} x {args.frames} x 3 x {args.size} x {args.size}, {where}, torch {torch.__version__}\n")
    with TemporaryDirectory() as folder:
        from compressai.models.video import ScaleSpaceFlow

        torch.manual_seed(0)
        start, weights = ScaleSpaceFlow(), Path(folder) / "theirs.pth.tar"
        start.img_decoder[-1].bias.data.fill_(0.5)  # grey: pvc clamps references to [0, 1] and CompressAI does not
        torch.save(start.state_dict(), weights)
        times, ends = measure(args, weights)
    print_agreement(ends) if args.agree else print_table(args, times, ends)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
