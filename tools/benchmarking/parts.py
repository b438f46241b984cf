"""Splits what a call costs by part, from outside: methods of objects are wrapped, and a clock is read around them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from operator import attrgetter
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count


class Clock(Protocol):
    """Something that grows while work is done."""

    def mark(self) -> Any:
        """Take its state now."""
        ...

    def between(self, start: Any, end: Any) -> float:
        """What went by between two marks."""
        ...


class WallClock:
    """Seconds. On CUDA the device's own, so that reading it does not make the device wait; synchronize before use."""

    def __init__(self, device: torch.device):
        self.on_gpu = device.type == "cuda"

    def mark(self) -> Any:
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, start: Any, end: Any) -> float:
        return start.elapsed_time(end) / 1e3 if self.on_gpu else end - start


class ProductClock(TorchDispatchMode):
    """Multiply-adds of matrix products, convolutions and attention, counted while this context is open.

    What is carried out counts, backward passes too. (torch's FlopCounterMode also follows modules, and cannot where
    autograd does not know a module's input.)
    """

    def __init__(self) -> None:
        super().__init__()
        self._products = 0

    def mark(self) -> int:
        return self._products

    def between(self, start: int, end: int) -> int:
        return end - start

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = _FORMULAS.get(func.overloadpacket)
        if formula is not None:
            self._products += formula(*args, **(kwargs or {}), out_val=out) // 2  # the formulas count two for each
        return out


def _attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> int:
    return sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape)


_FORMULAS = {
    # not in torch's table
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    **flop_registry,
}


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class _Span:
    name: str
    parent: "_Span | None"
    start: Any
    end: Any = None


class Parts:
    """Named spans of work, one inside another.

    Args:
        clock: what is read at their borders; may be exchanged between calls.
    """

    def __init__(self, clock: Clock):
        self.clock = clock
        self._missing: dict[str, str] = {}
        self._spans: list[_Span] = []
        self._open: list[_Span] = []

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """What happens inside belongs to `name`, apart from the spans that are opened inside."""
        span = _Span(name, self._open[-1] if self._open else None, self.clock.mark())
        self._spans.append(span)
        self._open.append(span)
        try:
            yield
        finally:
            self._open.pop()
            span.end = self.clock.mark()

    def wrap(self, owner: Any, path: str, name: str) -> None:
        """Make calls of the method at `path` (``criterion.forward``) of this object spans; note a path it has not."""
        holder_path, _, method = path.rpartition(".")
        try:
            holder = attrgetter(holder_path)(owner) if holder_path else owner
            original = getattr(holder, method)
        except AttributeError:
            self._missing[path] = name
            return

        @wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.span(name):
                return original(*args, **kwargs)

        setattr(holder, method, timed)

    def missing_notes(self) -> list[str]:
        """A sentence for each part that could not be wrapped."""
        return [f"{name} is not told apart: the model has no {path}" for path, name in self._missing.items()]

    def take(self) -> dict[str, float]:
        """What each name cost since the last call, without what spans inside it cost; in the order of the names."""
        costs: dict[str, float] = {}
        for span in self._spans:
            cost = self.clock.between(span.start, span.end)
            costs[span.name] = costs.get(span.name, 0) + cost
            if span.parent is not None:
                costs[span.parent.name] -= cost
        self._spans.clear()
        return costs
