"""Encoding and decoding speed of pvc's models against CompressAI's ``ssf2020``, real bytes, in one run.

    python benchmarks/codec_speed.py [--size 512x256] [--frames 6] [--rounds 3] [--threads 2] [--device cpu]
                                     [--clip FILE] [--contenders NAME ...]
    python benchmarks/codec_speed.py --device cuda --size 1920x1080

``ssf2020`` is untrained, with latents scaled up until there are symbols to code; ``ssf`` has the very same weights,
converted, so both compute the same networks (their bits say nothing: no table suits an untrained network). The released
tiny model is listed for what it is, another network. Each contender has a process of its own, so that its peak memory
is its own (on a GPU, of the GPU), and they take turns: one round is one encoding and one decoding of the clip by each.
Frames are in memory before, as floats or (pvc) bytes, and decoded ones after. Speeds are those of the fastest round;
CPU time is counted over all threads, and on a machine that does other things too it is the number to trust, with
--threads 1. A GPU is waited for before the clock is read.

The floor is what the counted operations (encoding + decoding: convolutions and matrix products, a product and a sum
are two) would take as one large matrix product in the same precision on one core, or on the GPU.
"""

import argparse
import math
import multiprocessing
import os
import platform
import re
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

PVC = ("ssf", "ssf, bfloat16", "mr-md-ssf-tiny", "mr-md-ssf-tiny, bfloat16")
CONTENDERS = ("CompressAI ssf2020", *PVC)
MULTIPLE = 128  # both pad to it
MOST = 65535  # frames to the next I-frame


def frames_of(args: argparse.Namespace) -> list[Tensor]:
    """[1, 3, H, W] in [0, 1], padded: of a clip, or of a synthetic scene."""
    width, height = map(int, args.size.split("x"))
    if args.clip:
        from pvc.video import VideoReader

        frames = [f for _, f in zip(range(args.frames), VideoReader(args.clip))]
    else:
        from pvc.data.synthetic import Synthetic

        frames = list(Synthetic(size=(height, width), frames=args.frames, names=["cafe"]).val()[0].read())
    floats = [F.interpolate(f[None].float(), (height, width), mode="area") / 255 for f in frames]
    padding = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    return [F.pad(f, padding, mode="replicate").to(args.device) for f in floats]


def write_weights(folder: Path) -> None:
    """CompressAI's model, untrained, with latents that do not all round to zero, as either library loads it."""
    from compressai.models.video import ScaleSpaceFlow as Theirs

    from pvc.models.checkpoint import save_model
    from pvc.models.ssf import ScaleSpaceFlow
    from pvc.models.warm_start import warm_start

    torch.manual_seed(0)
    model = Theirs()
    with torch.no_grad():
        for encoder in (model.img_encoder, model.res_encoder, model.motion_encoder):
            encoder[-1].weight.mul_(10)
        for parameter in model.parameters():
            parameter.copy_(parameter.half())  # pvc's checkpoints are in half precision
    torch.save(model.state_dict(), folder / "theirs.pth.tar")
    model = ScaleSpaceFlow()
    warm_start(model, folder / "theirs.pth.tar")
    save_model(model, folder / "ours.safetensors")


def coder(name: str, weights: Path, frames: list[Tensor]) -> tuple[Callable, Callable]:
    """Functions that encode the clip, and decode what came out; both return what the decoder needs and bytes."""
    device = frames[0].device.type
    if name.startswith("CompressAI"):
        from compressai.models.video import ScaleSpaceFlow

        model = ScaleSpaceFlow()
        model.load_state_dict(torch.load(weights / "theirs.pth.tar", weights_only=True))
        model.update(force=True)
        model = model.to(device).eval()

        @torch.inference_mode()
        def encode():
            strings, shapes = model.compress(frames)
            leaves = [
                s
                for frame in strings
                for part in (frame.values() if isinstance(frame, dict) else [frame])
                for (s,) in part
            ]
            return (strings, shapes), sum(map(len, leaves))

        @torch.inference_mode()
        def decode(coded):
            model.decompress(*coded)

        return encode, decode
    from pvc.codecs.neural import NeuralCodec

    tiny = Path(__file__).parents[1] / "checkpoints" / "mr-md-ssf-tiny.safetensors"
    path = tiny if name.startswith("mr-md") else weights / "ours.safetensors"
    precision = "bfloat16" if "bfloat16" in name else "float32"
    codec = NeuralCodec(path, device, gop=MOST, precision=precision)
    point = {"beta": 1e-3, "iframe_beta": 1} if codec.betas is None else {"beta": codec.betas[0]}
    clip = [(frame[0] * 255).round().to("cpu", torch.uint8) for frame in frames]
    about = {"fps": Fraction(30), "count": len(clip), "size": tuple(clip[0].shape[-2:])}

    def encode():
        data = b"".join(codec.encode_frames(clip, point, **about))
        return data, len(data)

    def decode(coded):
        for _ in codec.decode_frames(coded):
            pass

    return encode, decode


def work(name: str, weights: Path, args: argparse.Namespace, pipe) -> None:
    """Answer each "encode" and "decode" with wall and CPU seconds, "end" with bytes, MiB and operations (twice)."""
    from pvc.memory import keep_freed_memory

    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as pvc's commands do; it serves all contenders
    frames = frames_of(args)
    encode, decode = coder(name, weights, frames)
    with FlopCounterMode(display=False) as encoding:
        coded, size = encode()  # libraries start, caches fill
    with FlopCounterMode(display=False) as decoding:
        decode(coded)
    wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    pipe.send("ready")
    while (what := pipe.recv()) != "end":
        wait()
        start, cpu = time.perf_counter(), time.process_time()
        encode() if what == "encode" else decode(coded)
        wait()
        pipe.send((time.perf_counter() - start, time.process_time() - cpu))
    pipe.send((size, peak_memory(args.device), encoding.get_total_flops(), decoding.get_total_flops()))


def main() -> None:
    """Run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="512x256", help="WxH; padded to multiples of 128 (default: 512x256)")
    parser.add_argument("--frames", type=int, default=6, help="the first is an I-frame (default: 6)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--clip", help="a video, scaled to --size; without it a synthetic scene")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        write_weights(Path(folder))
        print_table(args, *measure(args, Path(folder)))


def peak_memory(device: str) -> float:
    """MiB of this process, or of the GPU. (getrusage would start with what the parent process had.)"""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def measure(args: argparse.Namespace, weights: Path) -> tuple[dict, dict]:
    """(seconds, CPU seconds) of every round by (contender, direction), and what each says at the end."""
    context = multiprocessing.get_context("spawn")
    workers = {}
    for name in args.contenders:
        here, there = context.Pipe()
        process = context.Process(target=work, args=(name, weights, args, there), daemon=True)
        process.start()
        there.close()
        here.recv()  # one after the other: a start beside a measurement would disturb it
        workers[name] = here
    times = {(name, what): [] for name in workers for what in ("encode", "decode")}
    for _ in range(args.rounds):
        for what in ("encode", "decode"):
            for name, pipe in workers.items():
                pipe.send(what)
                times[name, what].append(pipe.recv())
    for pipe in workers.values():
        pipe.send("end")
    return times, {name: pipe.recv() for name, pipe in workers.items()}


def print_table(args: argparse.Namespace, times: dict, ends: dict) -> None:
    """The fastest round of each, in frames a second."""
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{platform.machine()}, {args.threads} threads"
    print(f"{args.size}, {args.frames} frames, {args.rounds} rounds, torch {torch.__version__}, {where}\n")
    print("| | encode fps | decode fps | both fps | CPU s/frame | GFLOP/frame | floor, s | bits/pixel | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    pixels = math.prod(map(int, args.size.split("x")))
    base = None
    rates = {name: best_rate(args.device, name) for name in ends}
    for name, (size, peak, *operations) in ends.items():
        (encode, cpu_encode), (decode, cpu_decode) = (
            [min(t) / args.frames for t in zip(*times[name, what])] for what in ("encode", "decode")
        )
        both = 1 / (encode + decode)
        base = base or both
        print(
            f"| {name} | {1 / encode:.2f} | {1 / decode:.2f} | {both:.2f} ({both / base:.2f}x) "
            f"| {cpu_encode:.3f} + {cpu_decode:.3f} | {' + '.join(f'{n / args.frames / 1e9:.1f}' for n in operations)} "
            f"| {' + '.join(f'{n / args.frames / rates[name]:.3f}' for n in operations)} "
            f"| {8 * size / (pixels * args.frames):.3f} | {peak:.0f} |"
        )


def best_rate(device: str, name: str) -> float:
    """Operations a second of a large matrix product in the contender's precision, on one core or the GPU."""
    torch.set_num_threads(1)
    kind = torch.bfloat16 if "bfloat16" in name else torch.float32
    a, b = (torch.randn(n, 1024, device=device, dtype=kind) for n in (4096, 1024))
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    clock = time.perf_counter if device == "cuda" else time.process_time
    seconds = []
    for _ in range(8):
        wait()
        start = clock()
        a @ b.T
        wait()
        seconds.append(clock() - start)
    return 2 * len(a) * len(b) * 1024 / min(seconds)


if __name__ == "__main__":
    main()
