"""What the C library does with memory that is given back."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_KEEP = 2**28


def keep_freed_memory() -> None:
    """Let this process keep up to 256 MB of freed memory for the next picture (glibc; elsewhere nothing is done).

    Else tensors of some megabytes go back to the system and come again page by page, which takes 5 to 10 % of the time
    that a frame takes in a codec, and a fifth of what a training sample of 256x256 takes.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt") and hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_MMAP_THRESHOLD, _KEEP)
        library.mallopt(_TRIM_THRESHOLD, _KEEP)
