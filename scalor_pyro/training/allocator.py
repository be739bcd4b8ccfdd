"""Memory that is used again rather than given back: what a step frees, or a chunk of frames, the next one needs."""

import ctypes
import platform

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# Blocks up to this many bytes come from the heap, and this much may lie free at its end.
KEPT = 2**30


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, for the rest of the process; with another C library, nothing is done.

    By default large blocks go back to the system again and again, and each of their pages has to be mapped and zeroed
    anew: some hundredths of a training step on the CPU, more where memory is scarce. See docs/performance.md.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, KEPT)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)
