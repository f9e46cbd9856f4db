"""Memory that training takes and gives back in every step stays with the process.

The C library hands large tensors back to the system as soon as they are free and asks for them again in the next
operation; each page is then cleared by the kernel and found missing once more. At the papers' sizes that was a fifth of
a step on a CPU.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Names of glibc's malloc.h, with what they are when nobody sets them, and inside.
_SETTINGS = {
    "mmap_max": (-4, 65_536, 0),  # areas that are mapped one by one, and unmapped when they are freed
    "trim_threshold": (-1, 128 * 1024, 2**31 - 1),  # free bytes at the end of the heap that are given back
    "top_pad": (-2, 128 * 1024, 2**28),  # bytes that stay there; reserved, not taken
}


@contextmanager
def memory_kept() -> Iterator[None]:
    """Inside, freed memory is used again by this process; afterwards it goes back to the system.

    Only with glibc (Linux); without effect elsewhere, and on memory of a GPU. Changes no result. What is kept is what
    was in use at once, and gaps.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    mallopt, trim = getattr(library, "mallopt", None), getattr(library, "malloc_trim", None)
    if mallopt is None or trim is None:  # another C library
        yield
        return
    for name, _, inside in _SETTINGS.values():
        mallopt(name, inside)
    try:
        yield
    finally:
        for name, default, _ in _SETTINGS.values():
            mallopt(name, default)
        trim(0)
