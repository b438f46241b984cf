"""The costs of a turn, which is one inference or training step: seconds by part, memory, and matrix products."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from torch.autograd.profiler import profile
from torch.utils.benchmark import Timer

from tools.measuring.flops import ScopeTracker


class Parts(ScopeTracker):
    """Measures the parts of a turn. A `FlopCounter` that has this object as its tracker counts by the same names.

    There are two kinds of parts: spans, and the modules that the model itself calls. Two levels of a module's name make
    the name of its part, so `transformer.decoder` includes the decoder's heads, which the model calls one by one. When
    a part begins or ends, the clock is read after the device has finished its work.

    Attributes:
        seconds: by part, in the order in which they began. "forward/backbone" lies inside "forward".
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.seconds: dict[str, float] = {}
        self._device = device
        self._open: list[tuple[str, float]] = []  # the parts that have not ended, and when they began
        self._depth = 0  # 1 inside the call of the model, 2 inside that of a module that it calls
        self._names = {module: ".".join(name.split(".")[:2]) for name, module in model.named_modules()}
        for module in self._names:
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """A context: what happens inside is the part `name`."""
        self._begin(name)
        yield
        self._end()

    def now(self) -> float:
        """Seconds on a clock, after the device has done what it was given."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def _begin(self, name: str) -> None:
        part = f"{self._open[-1][0]}/{name}" if self._open else name
        self.seconds.setdefault(part, 0.0)
        self.parents = self.parents | {part}
        self._open.append((part, self.now()))

    def _end(self) -> None:
        part, start = self._open.pop()
        self.seconds[part] += self.now() - start
        self.parents = self.parents - {part}

    def _enter(self, module: nn.Module, _: Any) -> None:
        self._depth += 1
        if self._depth == 2:
            self._begin(self._names[module])

    def _leave(self, *_: Any) -> None:
        if self._depth == 2:
            self._end()
        self._depth -= 1


def tensor_memory(turn: Callable[[], object], device: torch.device) -> int:
    """The most bytes that the tensors which `turn` makes hold at once, by torch's profiler."""
    with profile(use_kineto=True, profile_memory=True) as profiler:
        turn()
    assert profiler.kineto_results is not None  # it has stopped
    events = (event for event in profiler.kineto_results.events() if event.name() == "[memory]")
    on_device = [event for event in events if event.device_type().name.lower() == device.type]
    return max(accumulate(event.nbytes() for event in sorted(on_device, key=lambda event: event.start_ns())))


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Multiply-adds per second of a product of matrices that fills the device."""
    size = 8192 if device.type == "cuda" else 2048
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    timer = Timer("matrix @ matrix", globals={"matrix": matrix}, num_threads=torch.get_num_threads())
    return size**3 / min(timer.blocked_autorange(min_run_time=1).times)


def with_rest(costs: dict[str, float]) -> dict[str, float]:
    """The costs of parts, and as "rest" what of the "total" is in none of them."""
    outermost = [cost for part, cost in costs.items() if part != "total" and "/" not in part]
    return {**costs, "rest": costs["total"] - sum(outermost)}
