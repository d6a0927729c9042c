"""Versions of the libraries that decide numbers, as they are recorded beside the numbers."""

from importlib.metadata import version

LINKED = {"av": "ffmpeg"}
"""A package and the library inside it that does the work, which may be another one where the package was built here."""


def versions(*packages: str) -> dict[str, str]:
    """Version of each package by its name, of PyAV also that of its FFmpeg.

    What stands behind a plus sign (``2.7.0+cpu``) is left out: it says how the package was built, and where a device
    decides numbers, that is recorded as the device.
    """
    found = {name: version(name).split("+")[0] for name in packages}
    if "av" in found:
        import av

        found[LINKED["av"]] = str(av.ffmpeg_version_info)
    return found
