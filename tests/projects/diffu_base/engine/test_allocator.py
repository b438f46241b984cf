"""Freed memory stays with the process."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[4]

PROGRAM = """
import torch
from projects.diffu_base.engine.allocator import keep_freed_memory

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) / 1024

if {keep}:
    assert keep_freed_memory()
before = resident()
torch.ones(2**26)  # 256 MiB
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.parametrize("keep", [False, True])
def test_freed_memory_is_kept_on_request(keep):
    program = [sys.executable, "-c", PROGRAM.format(keep=keep)]
    result = subprocess.run(program, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert (float(result.stdout) > 200) == keep
