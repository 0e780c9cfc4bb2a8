"""Memory that is used again is not asked for again."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from pyg_mpnn.deploy.allocator import keep_freed_memory

FAULTS = """
import ctypes, json, resource, torch
from pyg_mpnn.deploy.allocator import keep_freed_memory

def faults(number, size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [torch.zeros(size, dtype=torch.uint8) for _ in range(number)]  # freed together
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
library = ctypes.CDLL(None)
library.prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of 4 KiB, whatever the machine is set to
for threshold in (-1, -3):  # glibc's at the start, fixed: it would raise them by what it has seen so far
    assert library.mallopt(threshold, 128 * 1024)
sizes = (30, 4 * 2**20), (3, 48 * 2**20)  # bytes, below and above the 32 MiB up to which glibc can be told to keep
print(json.dumps([[faults(*size) for size in sizes], keep_freed_memory(), [faults(*size) for size in sizes]]))
"""


OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@pytest.mark.long
@pytest.mark.skipif("__import__('platform').libc_ver()[0] != 'glibc'", reason="another C library than glibc")
def test_pages_are_not_asked_for_again():
    plain = {name: value for name, value in os.environ.items() if name not in OWN}
    done = subprocess.run([sys.executable, "-c", FAULTS], env=plain, capture_output=True, text=True, check=True)
    before, taken, after = json.loads(done.stdout)
    assert taken
    assert min(before) > 20 * 10_000  # nearly every page of each round
    assert all(few < many / 10 for few, many in zip(after, before, strict=True))


def test_settings_of_the_environment_stay(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
