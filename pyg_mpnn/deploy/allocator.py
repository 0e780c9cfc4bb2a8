"""How the C library handles freed memory."""

from __future__ import annotations

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST = 32 * 2**20  # bytes; glibc accepts no larger threshold


def keep_freed_memory() -> bool:
    r"""Let the process keep the memory of freed tensors of up to 32 MiB for its next ones.

    By default glibc gives large blocks back to the system when they are freed, and the system clears each page anew
    when the next step asks for them. What that costs depends on how the blocks happen to lie;
    ``benchmarks/speed/allocator.py`` measures it. With this the process keeps the most memory that it has used so far
    until it ends. What the environment says (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``,
    ``GLIBC_TUNABLES``) is left as it is.

    Returns:
        whether the C library took the settings: not elsewhere than with glibc, nor where the environment has its own.

    Source:
        ``mallopt(3)`` of Linux.
    """
    own = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in own):
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_M_TRIM_THRESHOLD, -1) and library.mallopt(_M_MMAP_THRESHOLD, _LARGEST))
