"""What `pvc eval` costs on top of the encoders: its wall time against that of the bare encoders, in one run.

Bare is PyAV alone: it reads the same files, converts them to 4:2:0, encodes with the same options (one thread a job)
and decodes again, in as many processes as there are jobs; these have been started before the clock runs. Against it
stand

- the evaluation without metrics: its processes, hashes, RGB on both sides, records and pictures,
- the same with metrics,
- the whole command with metrics, from the shell: start of Python, tables, plots and report as well.

    python benchmarks/eval_overhead.py [--clips DIR] [--codecs x264 x265] [--crf 20 26 32 38] [--metrics psnr]
        [--frames 48] [--jobs 2] [--repeat 1]

DIR is a folder of clips (data=clips); without it three of the synthetic scenes are written to one. Of several repeats
the fastest counts. The more there is to encode, the less the start of Python weighs.
"""

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import av

from pvc.codecs import load_codec
from pvc.data.clips import ClipFolder, find_clips
from pvc.data.synthetic import Synthetic
from pvc.evaluation import evaluate
from pvc.metrics import load_metrics
from pvc.video import write_clip

SCENES = 3


def bare(path: Path, encoder: str, options: dict[str, str], frames: int) -> int:
    """Encode and decode a clip with nothing but PyAV. Returns the number of decoded frames."""
    packets = []
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        context = av.CodecContext.create(encoder, "w")
        context.width, context.height, context.pix_fmt = stream.width, stream.height, "yuv420p"
        context.framerate, context.time_base = stream.average_rate, 1 / stream.average_rate
        context.options = options
        for t, frame in zip(range(frames), source.decode(stream)):
            picture = frame.reformat(format="yuv420p")
            picture.pts, picture.time_base = t, context.time_base
            picture.pict_type = av.video.frame.PictureType.NONE  # that of the source would make every frame a key frame
            packets += [bytes(packet) for packet in context.encode(picture)]
        packets += [bytes(packet) for packet in context.encode(None)]
    form = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "obu"}[encoder]
    with av.open(io.BytesIO(b"".join(packets)), format=form) as coded:
        return sum(1 for _ in coded.decode(video=0))


def whose(_: int) -> int:
    """The process that does this."""
    time.sleep(0.5)
    return os.getpid()


def seconds(work: Callable[[], object], repeat: int) -> float:
    """Wall time of the fastest of ``repeat`` runs."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--codecs", nargs="+", default=["x264", "x265"])
    parser.add_argument("--crf", nargs="+", type=float, default=[20, 26, 32, 38])
    parser.add_argument("--metrics", nargs="+", default=["psnr"])
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = args.clips or Path(work) / "clips"
        if args.clips is None:
            folder.mkdir()
            for scene in Synthetic(frames=args.frames).eval()[:SCENES]:
                write_clip(folder / f"{scene.name}.mkv", scene.read(), scene.fps)
        codecs = [load_codec(name) for name in args.codecs]
        clips = ClipFolder(folder, cache=None).eval()
        settings = {"frames": args.frames, "gop": 12, "crf": args.crf, "jobs": args.jobs}
        runs = iter(range(10**6))  # each in a folder of its own: nothing is reused

        def evaluation(metrics: list) -> None:
            evaluate(codecs, clips, metrics, Path(work) / f"out-{next(runs)}", settings)

        def command() -> None:
            lists = [f"{key}=[{','.join(map(str, getattr(args, key)))}]" for key in ("codecs", "crf", "metrics")]
            rest = [f"frames={args.frames}", f"jobs={args.jobs}", f"anchor={args.codecs[0]}"]
            out = f"out={Path(work) / f'out-{next(runs)}'}"
            asked = [sys.executable, "-m", "pvc.eval", "data=clips", f"data.root={folder}", *lists, *rest, out]
            subprocess.run(asked, check=True, capture_output=True)

        paths = [path for path, _ in find_clips(folder).values()]
        jobs = [
            (path, codec.encoder, codec.meta["options"] | {"crf": f"{crf:g}"}, args.frames)
            for path, codec, crf in product(paths, codecs, args.crf)
        ]
        with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
            while len(set(pool.map(whose, range(args.jobs)))) < args.jobs:
                pass  # until all processes are there
            base = seconds(lambda: list(pool.map(bare, *zip(*jobs))), args.repeat)
        rows = [("bare encoders", base)]
        rows += [("evaluation without metrics", seconds(lambda: evaluation([]), args.repeat))]
        rows += [
            (f"with {', '.join(args.metrics)}", seconds(lambda: evaluation(load_metrics(args.metrics)), args.repeat))
        ]
        rows += [("whole command", seconds(command, args.repeat))]
    print(f"{len(jobs)} jobs of {args.frames} frames, {args.jobs} at a time: {', '.join(args.codecs)}\n")
    print("| | seconds | times bare |\n|---|---:|---:|")
    for name, taken in rows:
        print(f"| {name} | {taken:.1f} | {taken / base:.2f} |")


if __name__ == "__main__":
    main()
