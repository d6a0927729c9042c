"""Which library suits packed clips: ``python benchmarks/shard_libraries.py [FOLDER OF VIMEO-90K]``.

The frames of septuplets as PNG, packed by litdata, webdataset and pvc (WebDataset's tar files with an index, read by
fsspec). Three frames of random clips are read from each in turns, in one process: CPU time without decoding, best of
several rounds. Then two loading processes read all frames in random order from a pack that lies elsewhere, as runs on a
cluster do. Last, how well each library's own stream is shuffled: mean distance of neighbours in the order in which they
are stored, against that of a random permutation. What is no part of pvc goes into a folder of its own: ``pip install
--no-deps --target DIR litdata boto3 botocore s3transfer jmespath obstore wids``, and ``PYTHONPATH=DIR``.
"""

import contextlib
import io
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import torch
from data_pipeline import make_pack, make_vimeo

from pvc.data.shard_store import Pack
from pvc.data.vimeo90k import Vimeo90k

CLIPS, READS, ROUNDS, SHARD = 256, 300, 5, 16_000_000
BUFFER = 28  # of 1792 frames as 1,000 are of the 64,612 clips of Vimeo-90k
Read = Callable[[range], list]  # frames with these numbers, 7 a clip


def main() -> None:
    """Print the table."""
    if len(sys.argv) == 4:
        return read_all(*sys.argv[1:])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vimeo = Path(sys.argv[1]) if len(sys.argv) > 1 else make_vimeo(folder / "vimeo")
        septuplets = (Vimeo90k(vimeo).train() * CLIPS)[:CLIPS]
        # The number in front tells frames apart where clips repeat.
        frames = [i.to_bytes(4, "big") + septuplets[i // 7].png(i % 7) for i in range(7 * CLIPS)]
        make_pack(folder / "pvc", septuplets, "png", SHARD * 3)
        write_litdata(folder / "litdata", frames)
        write_webdataset(folder / "webdataset", frames)
        orders = {
            "pvc": np.random.default_rng(0).permutation(CLIPS),
            "litdata": litdata_order(folder / "litdata"),
            "webdataset": webdataset_order(folder / "webdataset"),
        }
        readers = {library: READERS[library](str(folder / library), str(folder / "own")) for library in orders}
        rng = np.random.default_rng(0)
        starts = [7 * int(rng.integers(CLIPS)) + int(rng.integers(5)) for _ in range(READS)]
        best = dict.fromkeys(readers, float("inf"))
        for _ in range(ROUNDS):
            for library, read in readers.items():
                begun = time.process_time()
                for start in starts:
                    [bytes(frame) for frame in read(range(start, start + 3))]
                best[library] = min(best[library], (time.process_time() - begun) / READS)
        print("| library | three frames, ms | size, PNG files = 1 | all by two processes, from elsewhere | shuffle |")
        print("| --- | --- | --- | --- | --- |")
        files = sum(len(frame) - 4 for frame in frames)
        for library, order in orders.items():
            size = sum(f.stat().st_size for f in (folder / library).iterdir()) / files
            spread = float(np.abs(np.diff(order)).mean()) / (CLIPS / 3)
            away = elsewhere(library, folder)
            print(f"| {library} | {best[library] * 1e3:.3f} | {size:.3f} | {away} | {spread:.2f} |", flush=True)


# -- pvc ---------------------------------------------------------------------------------------------------------------


def read_pvc(root: str, cache: str) -> Read:
    pack = Pack(root, cache if "://" in root else None)
    return lambda numbers: pack.read(pack.clips[numbers[0] // 7], range(numbers[0] % 7, numbers[-1] % 7 + 1))


# -- litdata -----------------------------------------------------------------------------------------------------------


def write_litdata(out: Path, frames: list[bytes]) -> None:
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(out), chunk_bytes=SHARD)
    for i, frame in enumerate(frames):
        writer[i] = frame
    writer.done()
    writer.merge(1)


def read_litdata(root: str, cache: str) -> Read:
    from litdata import StreamingDataset

    where = {"cache_dir": cache} if root.startswith("local:") else {}
    data = StreamingDataset(root, shuffle=False, **where)
    return lambda numbers: [data[i] for i in numbers]


def litdata_order(root: Path) -> list[int]:
    from litdata import StreamingDataset

    return first_frames(StreamingDataset(str(root), shuffle=True))


# -- webdataset --------------------------------------------------------------------------------------------------------


def write_webdataset(out: Path, frames: list[bytes]) -> None:
    import webdataset

    out.mkdir()
    with webdataset.ShardWriter(str(out / "s-%05d.tar"), maxsize=SHARD, verbose=0) as writer:
        for i, frame in enumerate(frames):
            writer.write({"__key__": f"{i:06d}", "bin": frame})


def read_webdataset(root: str, cache: str) -> Read:
    """Random access is in its package wids, which copies every shard into a cache, local ones as well."""
    import tarfile

    import wids

    shards = []
    for file in sorted(Path(root.removeprefix("file:")).glob("*.tar")):
        with tarfile.open(file) as tar:
            shards.append({"url": f"file:{file}", "nsamples": len(tar.getnames())})
    with contextlib.redirect_stderr(io.StringIO()):  # it tells what it opens
        data = wids.ShardListDataset(shards, transformations=[], keep=True, cache_dir=cache)
    return lambda numbers: [data[i][".bin"].read() for i in numbers]


def webdataset_order(root: Path) -> list[int]:
    import webdataset

    shards = sorted(map(str, root.glob("*.tar")))
    stream = webdataset.WebDataset(shards, shardshuffle=len(shards), seed=0).shuffle(BUFFER)
    return first_frames(sample["bin"] for sample in stream)


# -- all ---------------------------------------------------------------------------------------------------------------

READERS = {"pvc": read_pvc, "litdata": read_litdata, "webdataset": read_webdataset}


def first_frames(frames: Iterable[bytes]) -> list[int]:
    """Numbers of the clips in the order in which their first frames come."""
    numbers = [int.from_bytes(bytes(frame[:4]), "big") for frame in frames]
    return [i // 7 for i in numbers if i % 7 == 0]


class Frames(torch.utils.data.Dataset):
    """All frames in a random order; 1 where a frame came, whole."""

    def __init__(self, read: Read) -> None:
        self.read, self.order = read, np.random.default_rng(0).permutation(7 * CLIPS).tolist()

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> int:
        number = self.order[index]
        (frame,) = self.read(range(number, number + 1))
        frame = bytes(frame)
        return int(frame[:4] == number.to_bytes(4, "big") or frame[1:4] == b"PNG")


def read_all(library: str, root: str, cache: str) -> None:
    """What :func:`elsewhere` runs in a process of its own."""
    warnings.filterwarnings("ignore")
    loader = torch.utils.data.DataLoader(Frames(READERS[library](root, cache)), 16, num_workers=2)
    begun, right = time.perf_counter(), sum(int(batch.sum()) for batch in loader)
    print(f"{right} of {7 * CLIPS} right, {time.perf_counter() - begun:.1f} s")


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        pass


def elsewhere(library: str, folder: Path) -> str:
    """Read the pack as one that has to be fetched into a cache first, from a server or by what a library has for it."""
    cache = folder / f"cache-{library}"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = {
            "pvc": f"http://127.0.0.1:{server.server_port}/pvc",
            "litdata": f"local:{folder / library}",
            "webdataset": f"file:{folder / library}",
        }[library]
        command = [sys.executable, __file__, library, address, str(cache)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            return "not done after 120 s"
        finally:
            server.shutdown()
    if done.returncode:
        return f"fails ({done.stderr.strip().splitlines()[-1][:60]}...)"
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
