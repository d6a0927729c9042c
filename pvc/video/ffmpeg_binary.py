"""The FFmpeg binary that imageio-ffmpeg ships, for what PyAV's FFmpeg lacks: libvvenc and libvmaf."""

import functools
import subprocess
from pathlib import Path

from pvc.errors import ConfigError


@functools.cache
def ffmpeg_binary(kind: str, name: str) -> tuple[str, str]:
    """Path and version of the binary, which has ``name`` among its ``encoders`` or ``filters`` (``kind``).

    Raises:
        ConfigError: there is no such binary.
    """
    try:
        import imageio_ffmpeg

        binary = imageio_ffmpeg.get_ffmpeg_exe()
        version, has = (_output(binary, f"-{about}") for about in ("version", kind))
    except (ImportError, RuntimeError, OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"the FFmpeg of imageio-ffmpeg cannot be used ({error}); install its wheel") from error
    if f" {name} " not in has:
        raise ConfigError(
            f"{Path(binary).name} has no {name}; install the wheel of imageio-ffmpeg, and let IMAGEIO_FFMPEG_EXE "
            "name no other binary"
        )
    return binary, version.split()[2]


def _output(binary: str, argument: str) -> str:
    return subprocess.run([binary, "-hide_banner", argument], capture_output=True, text=True, check=True).stdout
