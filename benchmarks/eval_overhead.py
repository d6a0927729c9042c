"""What `pvc eval` costs on top of the encoders: the same jobs by bare encoders and by the evaluation, in one run.

Bare is FFmpeg's encoder and nothing else: raw 4:2:0 frames from a file into the library that pvc uses (PyAV's; for
VVenC the FFmpeg binary with pvc's own command), one thread a job, as many jobs at a time, no decoding of sources, no
colour conversion, no decoding of streams, nothing written. Against it stand

- bare, and decoded: the same, and the streams are decoded by FFmpeg, which is half of what an evaluation is for,
- the evaluation without metrics: processes, hashes, decoding of the sources (once a clip), RGB on both sides, records
  and pictures,
- the evaluation with metrics,
- the encode stage: what each codec's jobs spend in the encoder, with the conversion from RGB in the evaluation.

Seconds of CPU are those of all processes together, and hardly depend on what else the machine does; wall time does.
The kinds take turns, each is repeated, and the fastest counts. The whole command is run twice, the second time with all
jobs done: what then is left is the start of Python and the drawing of tables, plots and report.

    python benchmarks/eval_overhead.py [--clips DIR] [--codecs x264 x265 svtav1 vvenc-cpvc] [--points 23 29 35]
        [--metrics psnr] [--frames 24] [--jobs 2] [--repeat 3] [--no-command]

DIR is a folder of clips (data=clips); without it, three of the synthetic scenes are used, as lossless files. The
encoders get the points as crf or qp, svtav1 15 more.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import psutil

from pvc.codecs import load_codec
from pvc.codecs.avcodec import repeatable
from pvc.codecs.base import Point
from pvc.data.clips import ClipFolder
from pvc.data.sequence import Sequence
from pvc.data.synthetic import Synthetic
from pvc.evaluation import evaluate
from pvc.evaluation.workers import Workers
from pvc.metrics import load_metrics
from pvc.video import rgb_to_yuv, write_clip
from pvc.video.color import make_frame
from pvc.video.ffmpeg_binary import ffmpeg_binary

SCENES, GOP = 3, 12
FORMS = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "obu", "libvvenc": "vvc"}


@dataclass
class Bare:
    """One job: an encoder with its options on raw frames in a file."""

    codec: str
    meta: dict
    point: Point
    path: Path
    width: int
    height: int
    fps: Fraction
    decode: bool


def bare(_: None, job: Bare) -> float:
    """Do the job; seconds in the encoder."""
    start = time.perf_counter()
    data = _by_binary(job) if job.meta["encoder"] == "libvvenc" else _by_pyav(job)
    seconds = time.perf_counter() - start
    if job.decode:
        with av.open(BytesIO(data), format=FORMS[job.meta["encoder"]]) as coded:
            for _ in coded.decode(video=0):
                pass
    return seconds


def _by_pyav(job: Bare) -> bytes:
    context = av.CodecContext.create(job.meta["encoder"], "w")
    context.width, context.height, context.pix_fmt = job.width, job.height, job.meta["pix_fmt"]
    context.framerate, context.time_base = job.fps, 1 / job.fps
    options, crf = dict(job.meta["options"]), f"{job.point['crf']:g}"
    if "svtav1-params" in options:
        options["svtav1-params"] += f":crf={crf}"
    else:
        options["crf"] = crf
    context.options = repeatable(job.meta["encoder"], options)  # as pvc does
    packets = []
    for t, planes in enumerate(_raw(job)):
        picture = make_frame(planes, job.width, job.height, job.meta["pix_fmt"])
        picture.pts, picture.time_base = t, context.time_base
        packets += map(bytes, context.encode(picture))
    return b"".join([*packets, *map(bytes, context.encode(None))])


def _by_binary(job: Bare) -> bytes:
    places = {"{QP}": f"{job.point['qp']:g}", "{WIDTH}x{HEIGHT}": f"{job.width}x{job.height}", "{FPS}": f"{job.fps}"}
    command = job.meta["command"].replace("pipe:0", str(job.path)).replace("{MATRIX}", "smpte170m")
    for place, value in places.items():
        command = command.replace(place, value)
    with tempfile.TemporaryDirectory() as folder:
        binary, _ = ffmpeg_binary("encoders", "libvvenc")
        subprocess.run(
            [binary, *command.split()[1:]], cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        return (Path(folder) / "stream.266").read_bytes()


def _raw(job: Bare) -> Iterator[list[np.ndarray]]:
    """Planes of each frame of the file, which is 8-bit 4:2:0."""
    h, w = job.height, job.width
    frames = np.memmap(job.path, np.uint8, "r").reshape(-1, h * w * 3 // 2)
    for frame in frames:
        y, u, v = np.split(frame, (h * w, h * w * 5 // 4))
        yield [y.reshape(h, w), u.reshape(h // 2, w // 2), v.reshape(h // 2, w // 2)]


def cpu() -> float:
    """Seconds of CPU that this process and all that it has started have used."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:4]) for process in family)


@dataclass
class Taken:
    """The fastest of several runs, and the slowest wall time, which says how quiet the machine was.

    ``stages``: seconds in the encoder of each codec, over all its jobs.
    """

    wall: float = float("inf")
    cpu: float = float("inf")
    slowest: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

    def run(self, work: Callable[[], dict[str, float]]) -> None:
        """One more run; ``work`` gives the seconds in each encoder."""
        start, before = time.perf_counter(), cpu()
        stages = work()
        wall = time.perf_counter() - start
        self.cpu, self.wall, self.slowest = min(self.cpu, cpu() - before), min(self.wall, wall), max(self.slowest, wall)
        self.stages = {name: min(seconds, self.stages.get(name, seconds)) for name, seconds in stages.items()}


class Benchmark:
    """The jobs, and where they work."""

    def __init__(self, args: argparse.Namespace, work: Path):
        self.args, self.work, self.count = args, work, 0
        self.codecs = [load_codec(name, gop=GOP) for name in args.codecs]
        self.folder = args.clips or work / "clips"
        if args.clips is None:
            self.folder.mkdir()
            for scene in Synthetic(frames=args.frames).eval()[:SCENES]:
                write_clip(self.folder / f"{scene.name}.mkv", scene.read(), scene.fps)
        self.clips = ClipFolder(self.folder).eval()
        self.raw = {(c.name, fmt): self._write(c, fmt) for c in self.clips for fmt in ("yuv420p", "yuv420p10le")}

    def _write(self, clip: Sequence, pix_fmt: str) -> Path:
        path = self.work / f"{clip.name}.{pix_fmt}.raw"
        with path.open("wb") as file:
            for frame in clip.stream(min(self.args.frames, clip.frames)):
                file.writelines(plane.numpy().tobytes() for plane in rgb_to_yuv(frame[None], pix_fmt))
        return path

    def lists(self, name: str) -> dict[str, list[float]]:
        """Operating points of the codec."""
        more = 15 if name.startswith("svtav1") else 0
        return {"crf": [point + more for point in self.args.points], "qp": self.args.points}

    def bare(self, decode: bool) -> dict[str, float]:
        """All jobs without pvc around them; seconds in each encoder."""
        jobs = [
            Bare(
                *(codec.name, codec.meta, point, self.raw[clip.name, codec.meta["pix_fmt"]]),
                *(clip.width, clip.height, clip.fps, decode),
            )
            for clip in self.clips
            for codec in self.codecs
            for point in codec.points(self.lists(codec.name))
        ]
        seconds = dict.fromkeys((codec.name for codec in self.codecs), 0.0)
        with Workers(self.args.jobs, None) as workers:
            for job, taken in workers.map(bare, jobs):
                seconds[job.codec] += taken
        return seconds

    def evaluation(self, metrics: list) -> dict[str, float]:
        """The same by the evaluation, into a folder of its own, so that nothing is there already."""
        self.count += 1
        settings = {"frames": self.args.frames, "gop": GOP, "jobs": self.args.jobs}
        settings["points"] = {codec.name: self.lists(codec.name) for codec in self.codecs}
        records = evaluate(self.codecs, self.clips, metrics, self.work / f"out-{self.count}", settings).records
        return {c.name: sum(r.encode_seconds for r in records if r.codec == c.name) for c in self.codecs}

    def command(self) -> tuple[float, float]:
        """Wall time of the whole command, and of the same where all jobs are done already: what is not the jobs'."""
        names = [codec.name for codec in self.codecs]
        own = ",".join(f"{name}:{{{','.join(f'{k}:{v}' for k, v in self.lists(name).items())}}}" for name in names)
        asked = ["data=clips", f"data.root={self.folder}", f"codecs=[{','.join(names)}]", f"points={{{own}}}"]
        asked += [f"metrics=[{','.join(self.args.metrics)}]", f"frames={self.args.frames}", f"gop={GOP}"]
        asked += [f"jobs={self.args.jobs}", f"anchor={names[0]}", f"out={self.work / 'command'}"]
        times = []
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-m", "pvc.eval", *asked], check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        return times[0], times[1]


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--codecs", nargs="+", default=["x264", "x265", "svtav1", "vvenc-cpvc"])
    parser.add_argument("--points", nargs="+", type=float, default=[23, 29, 35])
    parser.add_argument("--metrics", nargs="+", default=["psnr"])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-command", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        benchmark, metrics = Benchmark(args, Path(folder)), load_metrics(args.metrics)
        kinds = {
            "bare encoders": lambda: benchmark.bare(decode=False),
            "bare, and decoded": lambda: benchmark.bare(decode=True),
            "evaluation without metrics": lambda: benchmark.evaluation([]),
            f"evaluation with {', '.join(args.metrics)}": lambda: benchmark.evaluation(metrics),
        }
        taken = {kind: Taken() for kind in kinds}
        kinds["evaluation without metrics"]()  # warms up: the server of processes, files, libraries
        for _ in range(args.repeat):
            for kind, work in kinds.items():
                taken[kind].run(work)
        whole = None if args.no_command else benchmark.command()
    jobs = len(benchmark.clips) * len(args.points) * len(args.codecs)
    print(f"{jobs} jobs of {args.frames} frames, {args.jobs} at a time, fastest of {args.repeat}\n")
    print("| | CPU s | times bare | wall s | times bare | (slowest) |\n|---|---:|---:|---:|---:|---:|")
    base, *_, last = taken.values()
    for kind, t in taken.items():
        ratios = t.cpu / base.cpu, t.wall / base.wall
        print(f"| {kind} | {t.cpu:.2f} | {ratios[0]:.2f} | {t.wall:.2f} | {ratios[1]:.2f} | {t.slowest:.2f} |")
    print("\n| encode stage | bare s | evaluation s | times bare |\n|---|---:|---:|---:|")
    for name, seconds in base.stages.items():
        print(f"| {name} | {seconds:.2f} | {last.stages[name]:.2f} | {last.stages[name] / seconds:.2f} |")
    if whole:
        print(f"\nThe whole command takes {whole[0]:.1f} s; where its jobs are done already, {whole[1]:.1f} s.")


if __name__ == "__main__":
    main()
