"""What a machine can do and what a process took of it: peak memory, and the rate of matrix products."""

import resource
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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


class TensorMemory(TorchDispatchMode):
    """The most bytes that tensors made while this context is open held at once, backward passes included.

    Neither what an allocator keeps besides nor what an operation needs inside itself counts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._held = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {storage._cdata for storage in _storages((args, kwargs))}
        for storage in _storages(out):
            if storage._cdata not in given:  # no view, not in place
                given.add(storage._cdata)
                self._held += storage.nbytes()
                weakref.finalize(storage, self._release, storage.nbytes())
        self.peak = max(self.peak, self._held)
        return out

    def _release(self, size: int) -> None:
        self._held -= size


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


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
