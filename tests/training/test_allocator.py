"""Freed memory is used again."""

import ctypes
import platform
import subprocess
import sys

import pytest

from scalor_pyro.training.allocator import keep_freed_memory

# Pages that are mapped when 64 MiB come and go once more, the heap having grown to hold them.
PAGES = """
import resource, torch
import scalor_pyro.training.loop  # all that a training has loaded
from scalor_pyro.training.allocator import keep_freed_memory

keep_freed_memory()
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_block_that_was_freed_is_not_mapped_again() -> None:
    done = subprocess.run([sys.executable, "-c", PAGES], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100  # of 16,384


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", None)  # not to be called
    keep_freed_memory()
