"""Encoding and decoding speed of pvc's models against CompressAI's ``ssf2020``, real bytes, in one run.

    python benchmarks/codec_speed.py [--size 512x256] [--frames 6] [--rounds 3] [--threads 2] [--device cpu]
                                     [--clip FILE] [--contenders NAME ...]
    python benchmarks/codec_speed.py --device cuda --size 1920x1080

``ssf2020`` is untrained, with latents scaled up until there are symbols to code; ``ssf`` has the very same weights,
converted, so both compute the same networks. The released tiny model is listed for what it is: another network. Each
contender has a process of its own, for a peak memory of its own (on a GPU, of the GPU), and they take turns: one round
is one encoding and one decoding of the clip by each. Frames are in memory as floats before, and bytes after. Speeds are
those of the fastest round; CPU time is counted over all threads. A GPU is waited for before the clock is read.
"""

import argparse
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import Tensor

PVC = ("ssf", "ssf, bfloat16", "mr-md-ssf-tiny", "mr-md-ssf-tiny, bfloat16")
CONTENDERS = ("CompressAI ssf2020", *PVC)
MULTIPLE = 128  # both pad to it


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


def theirs() -> torch.nn.Module:
    """CompressAI's model with the same weights each time."""
    from compressai.models.video import ScaleSpaceFlow

    torch.manual_seed(0)
    model = ScaleSpaceFlow()
    with torch.no_grad():
        for encoder in (model.img_encoder, model.res_encoder, model.motion_encoder):
            encoder[-1].weight.mul_(30)
    model.update(force=True)
    return model.eval()


def ours(name: str, device: str) -> torch.nn.Module:
    """pvc's model, ready to code."""
    from pvc.models.checkpoint import load_model
    from pvc.models.ssf import ScaleSpaceFlow
    from pvc.models.warm_start import warm_start

    if name.startswith("mr-md"):
        return load_model(Path(__file__).parents[1] / "checkpoints" / "mr-md-ssf-tiny.safetensors", device)
    model = ScaleSpaceFlow()
    with TemporaryDirectory() as folder:
        torch.save(theirs().state_dict(), path := Path(folder) / "ssf2020.pth.tar")
        warm_start(model, path)
    model.update()
    return model.to(device, memory_format=torch.channels_last).eval()


def coder(name: str, frames: list[Tensor]) -> tuple[Callable, Callable]:
    """Functions that encode the clip, and decode what came out; both return what the decoder needs and bytes."""
    device, shape = frames[0].device.type, tuple(frames[0].shape[-2:])
    if name.startswith("CompressAI"):
        model = theirs().to(device)

        @torch.inference_mode()
        def encode():
            strings, shapes = model.compress(frames)
            leaves = [s for frame in strings for part in (frame.values() if isinstance(frame, dict) else [frame])
                      for (s,) in part]
            return (strings, shapes), sum(map(len, leaves))

        @torch.inference_mode()
        def decode(coded):
            model.decompress(*coded)

        return encode, decode
    model = ours(name, device)
    precision = torch.bfloat16 if "bfloat16" in name else torch.float32
    beta = 1e-3 if model.multirate else model.beta

    def encode():
        past, previous, out = None, None, []
        for x in frames:
            data, past = model.encode_frame(x, beta, None, past, previous, precision)
            previous = x
            out.append(data)
        return out, sum(map(len, out))

    def decode(coded):
        past = None
        for data in coded:
            past = model.decode_frame(data, beta, shape, past, precision)

    return encode, decode


def work(name: str, args: argparse.Namespace, pipe) -> None:
    """Answer each "encode" and "decode" with (seconds, CPU seconds), and "end" with (bytes, peak MiB)."""
    torch.set_num_threads(args.threads)
    frames = frames_of(args)
    encode, decode = coder(name, frames)
    coded, size = encode()  # libraries start, caches fill
    decode(coded)
    wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    pipe.send("ready")
    while (what := pipe.recv()) != "end":
        wait()
        start, cpu = time.perf_counter(), time.process_time()
        encode() if what == "encode" else decode(coded)
        wait()
        pipe.send((time.perf_counter() - start, time.process_time() - cpu))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send((size, torch.cuda.max_memory_allocated() / 2**20 if args.device == "cuda" else peak))


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
    context = multiprocessing.get_context("spawn")
    workers = {}
    for name in args.contenders:
        here, there = context.Pipe()
        process = context.Process(target=work, args=(name, args, there), daemon=True)
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
    where = torch.cuda.get_device_name() if args.device == "cuda" else f"{platform.processor()}, {args.threads} threads"
    print(f"{args.size}, {args.frames} frames, {args.rounds} rounds, torch {torch.__version__}, {where}\n")
    print("| | encode fps | decode fps | both fps | encode CPU s/frame | decode CPU s/frame | bits/pixel | peak MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    pixels = Fraction(1)
    for n in map(int, args.size.split("x")):
        pixels *= n
    base = None
    for name, pipe in workers.items():
        pipe.send("end")
        size, peak = pipe.recv()
        (encode, cpu_encode), (decode, cpu_decode) = (
            [min(t) / args.frames for t in zip(*times[name, what])] for what in ("encode", "decode")
        )
        both = 1 / (encode + decode)
        base = base or both
        rate = float(8 * size / (pixels * args.frames))
        print(f"| {name} | {1 / encode:.2f} | {1 / decode:.2f} | {both:.2f} ({both / base:.2f}x) | {cpu_encode:.3f} "
              f"| {cpu_decode:.3f} | {rate:.3f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
