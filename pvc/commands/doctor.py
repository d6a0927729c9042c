"""``pvc doctor``: what is installed, and which devices, codecs and weights are there."""

import platform
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from pvc import __version__
from pvc.paths import checkpoint_dirs, config_dir

# What it is for -> file pattern in the folders of weights. These are other people's weights, all optional.
WEIGHTS = {
    "LPIPS (alex), features": "alexnet-owt-*.pth",
    "LPIPS (vgg), DISTS, features": "vgg16-*.pth",
    "DISTS": "dists_weights.pt",
    "FID, KID": "pt_inception-2015-12-05-6726825d.pth",
    "BRISQUE": "brisque_svm_weights.pt",
    "features": "squeezenet*",
    "ssf2020: codec, warm start": "ssf2020-mse-*.pth.tar",
}
ENCODERS = ("libx264", "libx265", "libsvtav1")
FFMPEG_PARTS = {"libvvenc": "-encoders", "libvmaf": "-filters"}

Row = tuple[str, str, bool]  # what, what was found, whether pvc can do without worry


def packages() -> Iterator[Row]:
    """Versions of what pvc's own metadata requires, then of what each extra adds."""
    yield "python", platform.python_version(), True
    extras: dict[str, list[str]] = {}
    for requirement in requires("pvc") or []:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
        if extra := re.search(r"extra == ['\"]([^'\"]+)", requirement):
            extras.setdefault(extra[1], []).append(name)
        else:
            found = _version(name)
            yield name, found or "missing: install pvc again", found is not None
    for extra, names in extras.items():
        if extra != "dev":  # for working on pvc itself
            there = [f"{name} {_version(name) or 'missing'}" for name in names]
            yield f"pvc[{extra}]", f"{', '.join(there)} (optional)", True


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def devices() -> Iterator[Row]:
    """CPU threads and CUDA devices."""
    import torch

    yield "cpu", f"{torch.get_num_threads()} threads", True
    for i in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(i)
        yield f"cuda:{i}", f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB", True
    if not torch.cuda.is_available():
        yield "cuda", "none (everything works without)", True


def codecs() -> Iterator[Row]:
    """Encoders inside PyAV, and what the FFmpeg of imageio-ffmpeg adds."""
    import av

    for name in ENCODERS:
        there = name in av.codecs_available
        yield f"PyAV {name}", "yes" if there else "no: install the wheel of av", there
    try:
        import imageio_ffmpeg

        binary = imageio_ffmpeg.get_ffmpeg_exe()
        for part, listing in FFMPEG_PARTS.items():
            out = subprocess.run([binary, "-hide_banner", listing], capture_output=True, text=True, check=True).stdout
            yield f"ffmpeg {part}", "yes" if part in out else "no (optional)", True
    except (ImportError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        yield "ffmpeg", f"cannot be used: {error}", False


def weights() -> Iterator[Row]:
    """Released checkpoints by name, and the usual pretrained weights."""
    from pvc.weights import weight_folders

    yield "configs", str(config_dir()), config_dir().is_dir()
    for folder in checkpoint_dirs():
        names = sorted(p.stem for p in folder.glob("*.safetensors"))
        yield "checkpoints", f"{folder}: {', '.join(names) or 'none'}", True
    folders = weight_folders()
    yield "others' weights", f"{', '.join(map(str, folders))} (all optional)", True
    for purpose, pattern in WEIGHTS.items():
        found = sorted(p.name for folder in folders for p in folder.glob(pattern))
        yield purpose, ", ".join(found) or f"no {pattern}", True


def sources() -> Iterator[Row]:
    """Importance sources, and which weights file each of them lacks."""
    from pvc.importance.registry import missing_weights, source_names

    for name in source_names():
        yield name, missing_weights(name) or "ready", True


def doctor() -> int:
    """Print the findings; return 0, or 1 when something that pvc needs is missing."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(f"[bold]pvc {__version__}[/] on {platform.platform()}", highlight=False)
    healthy = True
    parts = {"Packages": packages, "Devices": devices, "Codecs": codecs, "Weights": weights, "Importance": sources}
    for title, rows in parts.items():
        table = Table(title=title, title_justify="left", box=None, show_header=False, padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for what, found, good in rows():
            table.add_row(escape(what), escape(found) if good else f"[red]{escape(found)}[/]")
            healthy &= good
        console.print(table)
    return 0 if healthy else 1
