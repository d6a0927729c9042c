"""The published results of the released checkpoints: runs `pvc eval` and writes docs/results/ from what it measured.

    python benchmarks/results.py --davis DIR --clips DIR --cpvc_table1 DIR --cpvc_davis DIR --saliency_blur DIR
        [--frames 12] [--work runs/results]

DIR are DAVIS 2016 in its public layout (480p, val), a folder of evaluation clips without masks, a folder with the HEVC
test sequences that there are, for the CPVC paper's comparison, DAVIS again for the same, and DAVIS for blur by
importance, once with the maps of a source and once with the true masks. An interrupted run goes on where it was.
Nothing in docs/results/ is typed by hand.
"""

import argparse
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from pvc.evaluation import Record, load_runs

DOCS = Path(__file__).resolve().parents[1] / "docs" / "results"
COMMON = [
    "baseline=ssf-tiny",
    "beta=[1e-4,4e-4,1.6e-3,6.4e-3]",
    "crf=[17,20,23,26,29,32,35,38,41,44]",
    "metrics=[psnr]",
    "bd.min_overlap=0.25",  # strong alpha lowers the background by several dB: at 0.5 it would have no number
]
CPVC_ANCHORS = "anchor=[x264-cpvc,x265-cpvc,vvenc-cpvc]"
SETS = {
    "davis": [
        "data=davis",
        "codecs=[x264,x265,x264-roi,x265-roi,ssf-tiny,mr-md-ssf-tiny]",
        "anchor=[x265,x264,x265-roi,x264-roi]",  # the last two at the same u_alpha
        "u_alpha=[1.0,0.7,0.4,0.2]",
        "points={x264-roi:{u_alpha:[0.2]},x265-roi:{u_alpha:[0.2]}}",
    ],
    "clips": [
        "data=clips",
        "codecs=[x264,x265,ssf-tiny,mr-md-ssf-tiny]",
        "anchor=[x265,x264]",
        "data.source.cache=null",
        "data.source.fps=50",
        "u_alpha=[1.0]",
    ],
    "cpvc_table1": ["experiment=cpvc_table1", CPVC_ANCHORS],
    "cpvc_davis": [
        "experiment=cpvc_table1",
        CPVC_ANCHORS,
        "codecs=[x264-cpvc,x265-cpvc,vvenc-cpvc,cpvc-tiny]",
        "data=davis",
        "sequences=[blackswan,camel,dance-twirl,libby,parkour]",  # every second one of the ten
        "frames=16",
    ],
    "saliency_blur": ["experiment=saliency_blur", "frames=12"],
    "saliency_blur_masks": ["experiment=saliency_blur", "importance=null", "frames=12"],
}
KEPT = ("bd_rate.md", "bd_rate.csv", "bd_rate.json", "results.jsonl", "roi_tradeoff.png", "rd_*.png")
FEWER = ("bd_rate.md", "bd_rate.csv", "map_effect.*", "results.jsonl", "roi_tradeoff.png")
FEWER += ("rd_psnr_mse.png", "rd_psnr_mse_roi.png")
PICTURES = {"cpvc_table1": ("crops_*.png",), "cpvc_davis": ("crops_blackswan.png", "crops_parkour.png")}
RATE = 0.3  # bits per pixel of the quality table


def quality_at(records: list[Record], rate: float) -> float | None:
    """PSNR in dB at ``rate`` bits per pixel, linear in log-rate between measured points; None outside them."""
    curve = sorted((r.bpp, r.metrics["psnr"]) for r in records)
    if not curve or not curve[0][0] <= rate <= curve[-1][0]:
        return None
    return float(np.interp(math.log(rate), [math.log(b) for b, _ in curve], [q for _, q in curve]))


def quality_table(records: list[Record]) -> str:
    """Markdown: PSNR at ``RATE`` of each codec without ROI on each sequence."""
    codecs = sorted({r.codec for r in records if r.u_alpha in (None, 1.0)}, key=lambda c: (not c.startswith("x26"), c))
    lines = [f"PSNR in dB at {RATE} bits per pixel, without ROI (alpha = 1), interpolated in log-rate between measured"]
    lines += ["points; a dash: the codec has no point on one side of that rate.", ""]
    lines += ["| sequence | " + " | ".join(codecs) + " |", "|---|" + "---:|" * len(codecs)]
    for sequence in sorted({r.sequence for r in records}):
        row = []
        for codec in codecs:
            own = [r for r in records if r.codec == codec and r.sequence == sequence and r.u_alpha in (None, 1.0)]
            value = quality_at(own, RATE)
            row.append("-" if value is None else f"{value:.2f}")
        lines.append(f"| {sequence} | " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Evaluate the sets that were given and write their pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", help="DAVIS 2016")
    parser.add_argument("--clips", help="folder of clips without masks")
    parser.add_argument("--cpvc_table1", help="folder with HEVC test sequences")
    parser.add_argument("--cpvc_davis", help="DAVIS 2016, for the CPVC paper's comparison")
    parser.add_argument("--saliency_blur", help="DAVIS 2016, for blur by importance")
    parser.add_argument("--frames", type=int, default=12, help="frames of each sequence of the first two (default: 12)")
    parser.add_argument("--work", type=Path, default=Path("runs/results"), help="where the evaluation works")
    args = parser.parse_args()
    for name, overrides in SETS.items():
        root = getattr(args, name.removesuffix("_masks"))
        if root is None:
            continue
        work, page = args.work / name, DOCS / name
        models = any("ssf-tiny" in override for override in overrides)
        common = [*COMMON, f"frames={args.frames}"] if models else []
        command = ["eval", *overrides, *common, f"data.root={root}", f"out={work}"]
        subprocess.run([sys.executable, "-m", "pvc.cli", *command], check=True)
        page.mkdir(parents=True, exist_ok=True)
        for old in page.iterdir():
            old.unlink()
        kept = FEWER if name.startswith("saliency_blur") else KEPT
        for pattern in (*kept, *PICTURES.get(name, ())):
            for file in work.glob(pattern):
                shutil.copy(file, page)
        if models:
            (page / "quality.md").write_text(quality_table(load_runs([work])))
        shown = [a if "root=" not in a else "data.root=DIR" for a in command if not a.startswith("out=")]
        (page / "command.txt").write_text("pvc " + " ".join(f"'{a}'" if "[" in a else a for a in shown) + " out=OUT\n")


if __name__ == "__main__":
    main()
