"""What a machine can do and what a process took of it: peak memory, and the rate of matrix products."""

import resource
import sys
import time
from pathlib import Path

import torch

from tools.benchmarking.parts import synchronize

GEMM_SHAPES = ((22000, 256, 1024), (1024, 1024, 1024), (2048, 2048, 2048))  # (m, k, n); the first: an FFN's on tokens
GPU_GEMM_SHAPES = ((8192, 8192, 8192),)  # smaller ones do not fill a GPU


class PeakMemory:
    """The peak of this process's memory in bytes since this object was made.

    On CUDA what tensors took of the device; on the CPU the growth of the process's peak of resident memory.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.before = peak_resident_bytes()

    def read(self) -> dict[str, int]:
        """`peak` since the start, and `process`: the process's peak of resident memory altogether."""
        resident = peak_resident_bytes()
        on_gpu = self.device.type == "cuda"
        peak = torch.cuda.max_memory_allocated(self.device) if on_gpu else resident - self.before
        return {"peak": peak, "process": resident}


def peak_resident_bytes() -> int:
    """Peak of resident memory of this process's program."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss also counts what the process that started this one had
        lines = [line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        if lines:
            return int(lines[0][1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def matrix_product_rate(device: torch.device, dtype: torch.dtype = torch.float32, repeats: int = 3) -> dict[str, float]:
    """Multiply-adds per second of this machine, by shape ("22000x256x1024") and the best of them as `best`."""
    rates = {}
    for m, k, n in GEMM_SHAPES + (GPU_GEMM_SHAPES if device.type == "cuda" else ()):
        a, b = torch.randn(m, k, device=device, dtype=dtype), torch.randn(k, n, device=device, dtype=dtype)
        seconds = []
        for _ in range(repeats + 1):  # the first warms up
            synchronize(device)
            start = time.perf_counter()
            a @ b
            synchronize(device)
            seconds.append(time.perf_counter() - start)
        rates[f"{m}x{k}x{n}"] = m * k * n / min(seconds[1:])
    return {**rates, "best": max(rates.values())}
