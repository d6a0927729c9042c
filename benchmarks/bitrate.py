"""How near two passes of x264 and x265 come to a bitrate, with and without importance maps, and what they cost.

    python benchmarks/bitrate.py CLIPS [--scenes NAME ...] [--codecs x264-roi x265-roi] [--frames N] [--kbps 300 1000]

CLIPS is a folder of clips with masks (``NAME.mp4`` and ``NAME.mask.mkv``). With a map, alpha is 26.5.
"""

import argparse
import time
from fractions import Fraction
from pathlib import Path

from pvc.codecs import load_codec
from pvc.importance import weighted_mask
from pvc.video import probe, read_clip, read_map


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", type=Path, nargs="?", help="without it nothing is run")
    parser.add_argument("--scenes", nargs="+", help="all with a mask, unless given")
    parser.add_argument("--codecs", nargs="+", default=["x264-roi", "x265-roi"])
    parser.add_argument("--frames", type=int, help="of each clip (all)")
    parser.add_argument("--kbps", nargs="+", type=float, default=[300, 600, 1000])
    args = parser.parse_args()
    if args.clips is None:
        print("nothing is run without CLIPS, a folder of clips with masks")
        return
    names = args.scenes or sorted(p.name.removesuffix(".mask.mkv") for p in args.clips.glob("*.mask.mkv"))
    print("| codec | scene | frames | map | " + " | ".join(f"{k:g} kbit/s" for k in args.kbps) + " | CPU ms a frame |")
    print("|" + "---|" * (5 + len(args.kbps)))
    worst: dict[str, float] = {}
    for name in args.codecs:
        codec = load_codec(name)
        for scene in names:
            path = args.clips / f"{scene}.mp4"
            clip, fps = read_clip(path)[: args.frames], Fraction(probe(path).fps)
            q = weighted_mask(read_map(args.clips / f"{scene}.mask.mkv")[: args.frames], 0.2)
            for importance in (None, q) if codec.supports_importance else (None,):
                steered = "no" if importance is None else "yes"
                start, got = time.process_time(), []
                for kbps in args.kbps:
                    data = codec.encode(clip, {"bitrate": kbps, "alpha": 26.5}, importance, fps=fps)
                    got.append(8 * len(data) * float(fps) / len(clip) / 1000)
                    miss = 100 * (got[-1] / kbps - 1)
                    worst[name] = max(worst.get(name, 0.0), miss, key=abs)
                cost = 1000 * (time.process_time() - start) / len(clip) / len(args.kbps)
                cells = " | ".join(f"{g:.1f} ({100 * (g / k - 1):+.1f} %)" for g, k in zip(got, args.kbps, strict=True))
                print(f"| {name} | {scene} | {len(clip)} | {steered} | {cells} | {cost:.0f} |")
    print("\nlargest miss: " + ", ".join(f"{name} {miss:+.2f} %" for name, miss in worst.items()))


if __name__ == "__main__":
    main()
