"""What the commands share: output that takes its place when it is whole, input checked, models by name."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, BinaryIO

from pvc.codecs.cpvc import CpvcCodec
from pvc.codecs.neural import NeuralCodec
from pvc.codecs.registry import load_trained
from pvc.errors import BitstreamError, ConfigError, VideoError
from pvc.memory import keep_freed_memory
from pvc.paths import find_checkpoints
from pvc.video.pipe import is_pipe, standard_input, standard_output


def keep_inputs(output: str, *inputs: str | None) -> None:
    """Make sure that ``output`` is none of the files or folders that are read.

    Raises:
        ConfigError: it is one of them, by whatever name.
    """
    there = Path(output)
    for source in inputs:
        if source is not None and there.exists() and Path(source).exists() and there.samefile(source):
            raise ConfigError(f"{output} is an input of the same command; name another file for the output")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file beside ``path`` that takes its place when the block ends without an error, and vanishes else."""
    if not path.parent.is_dir():
        raise VideoError(f"{path} cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise VideoError(f"{path} is a folder; name a file to write")
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def default_device(device: str | None) -> str:
    """``device``, checked to be there, or the best one of this machine.

    Raises:
        ConfigError: no such device.
    """
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch was built without CUDA
        raise ConfigError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def parse_fps(text: str | None) -> Fraction | None:
    """``--fps``: a number or a fraction above 0. Raises ``ConfigError`` for anything else."""
    try:
        fps = None if text is None else Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"--fps {text} is not a number such as 50 or 30000/1001") from None
    if fps is not None and fps <= 0:
        raise ConfigError(f"--fps {text} must be above 0")
    return fps


def load_model(
    name: str,
    gop: int = 12,
    device: str | None = None,
    precision: str = "float32",
    base: str | None = None,
    rdoq: int | None = None,
) -> NeuralCodec | CpvcCodec:
    """The trained codec ``name``: a checkpoint's name, the common name of several, or a path.

    Args:
        base: the base codec that it must be for; None: whatever it is for.
        rdoq: rounds of its search for better symbols; None: the usual number.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be read.
        ConfigError: it is for another base codec, or for none.
    """
    keep_freed_memory()
    return load_trained(find_checkpoints(name), default_device(device), gop, precision, base, rdoq)


def say_size(target: str, frames: int, pixels: int, size: int | None = None) -> None:
    """Size (in bytes; else the file's) and rate of what was written, to standard error."""
    size = Path(target).stat().st_size if size is None else size
    print(f"{target}: {size} bytes, {8 * size / (frames * pixels):.4f} bits per pixel", file=sys.stderr)


@contextmanager
def reading(source: str) -> Iterator[BinaryIO]:
    """A ``.pvc`` file, or standard input for ``-``, opened; an error in it or in reading it names the file.

    Raises:
        VideoError: there is no such file.
    """
    path = Path(source)
    if not is_pipe(source) and not path.is_file():
        raise VideoError(f"{source} does not exist" if not path.exists() else f"{source} is a folder, not a .pvc file")
    with ExitStack() as stack:
        file = standard_input() if is_pipe(source) else stack.enter_context(path.open("rb"))
        try:
            yield file
        except BitstreamError as error:
            raise BitstreamError(f"{'standard input' if is_pipe(source) else source}: {error}") from None


@contextmanager
def writing(target: str) -> Iterator[IO[bytes]]:
    """What :func:`replacing` gives, or standard output for ``-``."""
    if is_pipe(target):
        yield standard_output()
    else:
        with replacing(Path(target)) as file:
            yield file
