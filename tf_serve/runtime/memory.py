"""How glibc gives memory back: the one setting of the C library that processes change that answer films.

By default a film's pixels (1 to 4 MB) go back to the system after each film and come again page by page: 720
page faults a film of 1,024 x 1,024, some 2 ms. With these thresholds they stay; larger blocks still go back.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
KEPT_BLOCK = 4 << 20  # bytes; larger ones are mapped and unmapped
KEPT_TOP = 16 << 20  # bytes at the end of the heap


def keep_memory_of_films() -> None:
    """Set both thresholds of this process; nothing where the C library has no such setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT_TOP)
