"""Keep freed memory: the next step, or chunk of frames, needs as much again."""

import ctypes
import platform

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# Blocks up to this many bytes come from the heap, and this many may lie free at its end.
KEPT = 2**30


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the rest of the process; with another C library, this does nothing.

    By default large blocks return to the system each time, and their pages must be mapped and zeroed again: some
    hundredths of a training step on the CPU, more if memory is scarce. See docs/performance.md.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, KEPT)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)
