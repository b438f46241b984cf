"""Peak memory and the rate of matrix products."""

import torch

from tools.benchmarking.machine import GEMM_SHAPES, PeakMemory, TensorMemory, matrix_product_rate


def test_peak_memory_grows_by_what_was_held_and_stays():
    memory = PeakMemory(torch.device("cpu"))
    before = memory.read()
    size = before["process"] + 100_000_000  # beyond any peak of this process so far
    block = torch.ones(size, dtype=torch.uint8)
    held = memory.read()
    del block
    assert held["peak"] - before["peak"] > 99_000_000
    assert memory.read()["peak"] > 0.99 * held["peak"]  # the system's counters are a little behind
    assert held["process"] >= held["peak"]


def test_rate_is_the_best_of_all_shapes():
    rate = matrix_product_rate(torch.device("cpu"), repeats=1)
    assert len(rate) == len(GEMM_SHAPES) + 1
    assert rate["best"] == max(rate.values()) and min(rate.values()) > 0


def test_memory_of_tensors_counts_what_is_held_at_once_and_no_views():
    weight = torch.ones(1000, requires_grad=True)  # made before, 4000 bytes
    with TensorMemory() as memory:
        x = weight.exp()  # 4000, kept for the backward pass
        y = x.view(10, 100)[1:] * 2  # 3600
        del y
        x.detach().add_(0)
        assert memory.peak == 7600
        z = weight.sin()  # 4000
        del x, z
        assert memory.peak == 8000
    with TensorMemory() as memory:
        weight.exp().sum().backward()  # the exponentials and their gradient, the sum and its gradient
    assert memory.peak == 2 * 4000 + 2 * 4
