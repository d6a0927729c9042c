"""What the page of a training run costs: coding its anchor, once and again, and writing it.

python benchmarks/run_page.py CLIPS [--frames 12] [--rows 1000 10000 50000]

CLIPS is a folder of clips; those of the validation part are coded, as training would. CPU seconds of one thread.
"""

import argparse
import csv
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from lightning import LightningModule
from omegaconf import OmegaConf

from pvc.data.clips import ClipFolder
from pvc.data.module import ClipDataModule
from pvc.paths import config_dir
from pvc.training.anchor import Anchor
from pvc.training.page import NAME, RunPage

NAMES = ("loss", "bpp", "bpp_intra", "bpp_motion", "bpp_residual", "psnr", "grad_norm", "skipped")


def anchor(clips: Path, frames: int, folder: Path) -> None:
    """Print what coding the validation clips takes, and what finding them in the cache takes."""
    settings = OmegaConf.load(config_dir() / "train.yaml").page
    source = OmegaConf.load(config_dir() / "data" / "clips.yaml").source
    source = partial(ClipFolder, cache=None, default_val=list(source.default_val))
    data = ClipDataModule(source, clips, workers=0, val_frames=frames)
    data.setup("validate")
    items = [data.val_set[i] for i in range(len(data.val_set))]
    print(f"{settings.anchor}, {len(settings.points)} points, {len(items)} clips of {frames} frames:")
    for what in ("coded", "found in the cache"):
        made = Anchor(settings.anchor, list(settings.points), folder)
        begun = time.process_time()
        for item in items:
            made.measure(item["frames"], item["roi"], item["fps"])
        print(f"  {what:20} {time.process_time() - begun:8.3f} s")


def page(rows: int, folder: Path) -> None:
    """Print what writing the page takes with a log of so many rows, and with a validation every 500."""
    columns = [f"train/{name}" for name in NAMES]
    points = [f"val/beta={beta}/alpha=1/{name}" for beta in (1e-4, 4e-4, 1.6e-3, 6.4e-3) for name in ("bpp", "psnr")]
    file = folder / "logs" / "version_0" / "metrics.csv"
    file.parent.mkdir(parents=True)
    noise = torch.rand(rows, len(columns)) + 0.5
    with file.open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["step", "lr-Adam", *columns, *points])
        for i in range(rows):
            writer.writerow([50 * i, 1e-4, *noise[i].tolist(), *[""] * len(points)])
            if i % 500 == 499:
                measured = [v for k in range(4) for v in (2.0**-k, 36 - 3 * k + i / rows)]
                writer.writerow([50 * i, "", *[""] * len(columns), *measured])
    curve = [[f"crf {47 - 5 * k}", {"bpp": 0.03 * 2**k, "psnr": 24 + 3 * k}] for k in range(8)]
    (folder / "logs" / "anchor.json").write_text(str(["x265", curve]).replace("'", '"'))
    trainer = SimpleNamespace(global_step=50 * rows, max_steps=-1, is_global_zero=True, should_stop=False)
    trainer.datamodule, trainer.num_devices, trainer.num_nodes, trainer.precision = None, 1, 1, "32-true"
    made = RunPage(folder, "run", every=1e-9, points=[22, 27, 32, 37], cache=None)
    made.on_train_start(trainer, LightningModule())
    times = []
    for _ in range(5):
        made._next, begun = 0.0, time.process_time()
        made.on_train_batch_end(trainer, None, None, None, 0)
        times.append(time.process_time() - begun)
    size = (folder / NAME).stat().st_size / 1000
    print(f"page, {rows:6} rows:     {min(times):8.3f} s, {size:.0f} kB")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 50_000])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        anchor(arguments.clips, arguments.frames, Path(folder) / "cache")
        for rows in arguments.rows:
            page(rows, Path(folder) / str(rows))


if __name__ == "__main__":
    main()
