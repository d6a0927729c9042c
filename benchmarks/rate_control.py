"""How well rate control holds what it is asked for, on real clips.

    python benchmarks/rate_control.py --data DIR [--frames 50] [--bitrates 250 600] [--parts cuts roi]

Parts are passes, cuts, roi, quality and keys. DIR is a folder of clips with `davis-*.mask.mkv` beside some. Each
row is a coding of a clip: the rate of the whole stream, the one-second window furthest from what was asked, the leaky
bucket's fullest in seconds, codings and CPU seconds of a frame (one thread, all passes), and PSNR: of the ROI where
there is a floor, else of the frame. Without --data nothing is run.
"""

import argparse
import time
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import torch

from pvc.codecs.neural import NeuralCodec
from pvc.codecs.rate_control import Choice, FrameCoder
from pvc.codecs.rate_control.coding import Frame
from pvc.entropy.condition import beta_to_code
from pvc.importance import weighted_mask
from pvc.paths import find_checkpoints
from pvc.video import VideoReader

STEADY = ("davis-flamingo", "davis-breakdance-flare", "AdaCoF_sample_video-sample_video")
CUTS = ("davis-flamingo", "davis-drift-turn", "AdaCoF_sample_video-sample_video", "davis-lucia")
PARTS = ("passes", "cuts", "roi", "quality", "keys")
FPS = Fraction(25)


class Watched:
    """A control whose frames' PSNR is kept too."""

    def __init__(self, control):
        self._control, self.measures, self.psnr = control, control.measures or "", []
        self.look_ahead = control.look_ahead

    def __getattr__(self, name):
        return getattr(self._control, name)

    def spent(self, trial):
        """Keep the PSNR, and hand on."""
        self.psnr.append(trial.quality)
        self._control.spent(trial)


def read(folder: Path, names: tuple[str, ...], frames: int, mask: bool = False) -> list[torch.Tensor]:
    """``frames`` frames of the clips one after the other, all of the first one's size."""
    clips = []
    for name in names:
        with VideoReader(folder / f"{name}{'.mask.mkv' if mask else '.mp4'}", grey=mask) as reader:
            clips.append(list(islice(reader, frames // len(names))))
    height, width = (min(clip[0].shape[i] for clip in clips) for i in (1, 2))
    return [frame[:, :height, :width] for frame in chain(*clips)]


def code(codec, clip, point, masks=None, passes=1, count=True) -> None:
    """Code a clip and print its row."""
    about = {"fps": FPS, "count": len(clip) if count else None, "size": tuple(clip[0].shape[1:])}
    u_alpha = 0.2 if "roi_psnr" not in point or "bitrate" not in point else 0.0
    control, size, start = None, 0, time.process_time()
    for _ in range(passes):
        control, size = codec.control(point, **about, first=control), 0
        watched = Watched(control)
        maps = None if masks is None else (weighted_mask(m, u_alpha) for m in masks)
        for part in codec.encode_frames(clip, point, maps, **about, control=watched):
            size += len(part)
    seconds, got = (time.process_time() - start) / len(clip), 8 * size * float(FPS) / len(clip) / 1000
    row = f"{seconds:5.2f} | {min(watched.psnr):5.2f} | {sum(watched.psnr) / len(clip):5.2f} |"
    if "bitrate" in point:
        ledger, asked = control.ledger, point["bitrate"]
        worst = f"{ledger.worst / ledger.full - 1:+6.1%}" if ledger.worst else "     -"
        row = f"{got / asked - 1:+6.2%} | {worst} | {ledger.peak / ledger.full:4.2f} | {control.codings:4.2f} | {row}"
    else:
        row = f"       |        |      | {control.codings:4.2f} | {row}"
    print(f"{got:6.0f} | {row}", flush=True)


def cuts(codec, folder: Path) -> None:
    """At each cut from one scene to the next: its first frame as P-frame and as I-frame, and the four after it."""
    print("cut to | beta | as P: kbit | dB | next four: kbit | dB | as I: kbit | dB | next four: kbit | dB |")
    print("|".join(["---"] * 10) + "|")
    model = next(iter(codec._models.values()))
    scenes = [read(folder, (name,), 5) for name in CUTS]
    for before, after, name in zip(scenes[-1:] + scenes, scenes, CUTS, strict=False):
        for beta in (4e-4, 3.2e-3):
            row = f"{name.split('_')[0]:22} | {beta:7g} |"
            for key in (False, True):
                coder, found, last = FrameCoder(model, codec.device, 1.0, "", rdoq=codec.rdoq), [], None
                height, width = (min(scene[0].shape[i] for scene in (before, after)) for i in (1, 2))
                for number, picture in enumerate([*before[:3], *after]):
                    frame = Frame(picture[:, :height, :width], None, None, last)
                    last = frame.picture
                    trial = coder.code(frame, Choice(number == 0 or (key and number == 3), beta_to_code(beta)))
                    coder.keep(frame, trial)
                    found.append((trial.bits / 1000, trial.quality))
                mean = [sum(v[i] for v in found[4:]) / 4 for i in (0, 1)]
                row += f" {found[3][0]:5.1f} | {found[3][1]:5.2f} | {mean[0]:5.1f} | {mean[1]:5.2f} |"
            print(row, flush=True)
    print()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of clips; without it nothing is run")
    parser.add_argument("--frames", type=int, default=50, help="frames of each clip (default: 50)")
    parser.add_argument("--bitrates", type=float, nargs="+", default=[250, 600], help="kbit/s (default: 250 600)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["cuts", "roi"], help="(default: cuts roi)")
    parser.add_argument("--model", default="mr-md-ssf-tiny", help="a multi-rate model")
    args = parser.parse_args()
    if args.data is None:
        print("nothing is run without --data DIR, a folder of clips")
        return
    torch.set_num_threads(1)
    codec = NeuralCodec(find_checkpoints(args.model))
    parts = args.parts
    if "keys" in parts:
        cuts(codec, args.data)
    if parts == ["keys"]:
        return
    print("clip | how | asked | kbit/s | off | worst second | bucket, s | codings | s a frame | PSNR, least | PSNR |")
    print("|".join(["---"] * 11) + "|")

    def row(name: str, how: str, asked: str) -> None:
        print(f"{name.split('_')[0]:22} | {how:28} | {asked:>12} | ", end="")

    clips = [(name, (name,)) for name in STEADY if "passes" in parts]
    clips += [("four scenes", CUTS)] if "cuts" in parts else []
    for name, names in clips:
        clip = read(args.data, names, args.frames)
        for bitrate in args.bitrates:
            for how, more in (("one pass", {}), ("pipe", {"count": False}), ("two passes", {"passes": 2})):
                row(name, how, f"{bitrate:g}")
                code(codec, clip, {"bitrate": bitrate, "alpha": 1.0}, **more)
    if "roi" in parts:
        for name in ("davis-flamingo", "davis-lucia"):
            clip, masks = (read(args.data, (name,), args.frames, mask) for mask in (False, True))
            for bitrate in args.bitrates:
                row(name, "alpha 26.5", f"{bitrate:g}")
                code(codec, clip, {"bitrate": bitrate, "alpha": 60**0.8}, masks)
            for floor in (26.0, 29.0):
                row(name, "ROI floor", f"{floor:g} dB")
                code(codec, clip, {"roi_psnr": floor, "alpha": 60**0.8}, masks)
                row(name, "ROI floor and bitrate", f"{floor:g} dB, {args.bitrates[-1]:g}")
                code(codec, clip, {"roi_psnr": floor, "bitrate": args.bitrates[-1], "alpha": 60.0}, masks)
    if "quality" in parts:
        for name in STEADY[:2]:
            for psnr in (27.0, 30.0):
                row(name, "PSNR", f"{psnr:g} dB")
                code(codec, read(args.data, (name,), args.frames), {"psnr": psnr, "alpha": 1.0})


if __name__ == "__main__":
    main()
