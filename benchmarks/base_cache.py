"""Which format the base layer's cache should have: time to read a training crop, and bytes on the disk.

    python benchmarks/base_cache.py [CLIP]

Reads two neighbouring frames at a random place, cropped to 128x128, from raw memory-mapped frames, from FFV1 in
Matroska, and from the VVC stream itself (from its key frame on). Without CLIP it takes a synthetic one.
"""

import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from pvc.codecs import load_codec
from pvc.data.base_layer import BaseLayer
from pvc.data.synthetic import Synthetic
from pvc.video import read_clip, write_clip

FRAMES, CROP, READS = 32, 128, 12


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        clip = read_clip(Path(sys.argv[1]), 0, FRAMES)
    else:
        clip = Synthetic(size=(256, 448), frames=FRAMES).train()[0].read()
    codec = load_codec("vvenc-cpvc", gop=FRAMES)
    stream = codec.encode(clip, {"qp": 32}, fps=Fraction(25))
    decoded = codec.decode(stream)
    with tempfile.TemporaryDirectory() as folder:
        cache, lossless = BaseLayer(folder), Path(folder, "clip.mkv")
        cache.store("clip", "qp32", decoded, shape=[*decoded.shape])
        write_clip(lossless, decoded, Fraction(25))

        def raw(t: int) -> torch.Tensor:
            return torch.from_numpy(np.array(cache.load("clip", "qp32")[t : t + 2, :, :CROP, :CROP]))

        def ffv1(t: int) -> torch.Tensor:
            return read_clip(lossless, t, 2)[..., :CROP, :CROP]

        def vvc(t: int) -> torch.Tensor:
            frames = codec.decode_frames(stream)
            return torch.stack([frame for _, frame in zip(range(t + 2), frames, strict=False)][-2:])[..., :CROP, :CROP]

        ways = {"raw, memory-mapped": raw, "FFV1 in Matroska": ffv1, "VVC stream": vvc}
        sizes = [decoded.numel(), lossless.stat().st_size, len(stream)]
        places = np.random.default_rng(0).integers(0, len(clip) - 1, READS)
        seconds = dict.fromkeys(ways, 0.0)
        for t in map(int, places):
            for name, read in ways.items():
                start = time.process_time()
                read(t)
                seconds[name] += time.process_time() - start
    print(f"{'format':20} {'ms a crop':>10} {'kB a frame':>11}")
    for (name, spent), size in zip(seconds.items(), sizes, strict=True):
        print(f"{name:20} {1e3 * spent / READS:10.2f} {size / len(clip) / 1e3:11.1f}")


if __name__ == "__main__":
    main()
