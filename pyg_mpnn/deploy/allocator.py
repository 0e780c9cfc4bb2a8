"""How the C library handles freed memory."""

from __future__ import annotations

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> bool:
    r"""Let the process keep the memory of freed tensors for its next ones.

    By default glibc gives large blocks back to the system when they are freed, and the system clears each page anew
    when the next step asks for them. What that costs depends on how the blocks happen to lie, and blocks above 32 MiB,
    which thousands of atoms need, pay it always; ``benchmarks/speed/allocator.py`` measures it. With this, blocks of
    all sizes come from the heap, and the process keeps the most memory that it has used so far until it ends. What the
    environment says (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_MAX_``, ``MALLOC_MMAP_THRESHOLD_``,
    ``GLIBC_TUNABLES``) is left as it is.

    Returns:
        whether the C library took the settings: not elsewhere than with glibc, nor where the environment has its own.

    Source:
        ``mallopt(3)`` of Linux.
    """
    own = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in own):
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(_M_TRIM_THRESHOLD, -1) and library.mallopt(_M_MMAP_MAX, 0))
