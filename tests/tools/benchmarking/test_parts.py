"""Spans, their own costs, and the clocks they read."""

import pytest
import torch
from torch import nn

from tests.support.tiny_models import tiny_model
from tools.benchmarking.parts import Parts, ProductClock, WallClock
from tools.measuring.flops import count_flops
from tools.measuring.measure import random_images


class Counter:
    """A clock that the test moves."""

    now = 0

    def mark(self) -> int:
        return self.now

    def between(self, start: int, end: int) -> int:
        return end - start


class Machine:
    """Work of 1, 2 and 4 units, one inside the other."""

    def __init__(self, clock: Counter):
        self.clock = clock
        self.inner = self

    def outside(self) -> str:
        self.clock.now += 1
        self.middle()
        self.clock.now += 1
        return "done"

    def middle(self) -> None:
        self.clock.now += 2
        self.inner.inside(times=2)

    def inside(self, *, times: int) -> None:
        self.clock.now += 2 * times


def test_a_part_costs_what_the_parts_inside_it_do_not():
    machine, parts = Machine(Counter()), None
    parts = Parts(machine.clock)
    for path, name in (("outside", "a"), ("middle", "b"), ("inner.inside", "c")):
        parts.wrap(machine, path, name)
    assert machine.outside() == "done"
    assert parts.take() == {"a": 2, "b": 2, "c": 4}
    assert parts.take() == {}


def test_spans_of_one_name_add_up_in_the_order_of_the_names():
    clock = Counter()
    parts = Parts(clock)
    for name, cost in (("first", 1), ("second", 5), ("first", 2)):
        with parts.span(name):
            clock.now += cost
    costs = parts.take()
    assert costs == {"first": 3, "second": 5} and list(costs) == ["first", "second"]


def test_a_span_ends_with_an_error():
    clock = Counter()
    parts = Parts(clock)
    with pytest.raises(KeyError), parts.span("failing"):
        clock.now += 3
        raise KeyError
    with parts.span("next"):
        clock.now += 1
    assert parts.take() == {"failing": 3, "next": 1}


def test_a_method_that_is_not_there_is_noted():
    parts = Parts(Counter())
    parts.wrap(Machine(Counter()), "encoder.forward", "encoder")
    assert parts.missing_notes() == ["encoder is not told apart: the model has no encoder.forward"]


def test_wall_clock_goes_forward():
    clock = WallClock(torch.device("cpu"))
    start = clock.mark()
    assert clock.between(start, clock.mark()) >= 0


def test_products_of_a_training_step_are_three_forward_passes():
    """Of a linear layer whose input needs a gradient: forward, gradient of the input, gradient of the weight."""
    layer, x = nn.Linear(16, 32), torch.randn(5, 16, requires_grad=True)
    with ProductClock() as clock:
        start = clock.mark()
        y = layer(x)
        middle = clock.mark()
        y.sum().backward()
        assert clock.between(start, middle) == 5 * 16 * 32
        assert clock.between(middle, clock.mark()) == 2 * 5 * 16 * 32


def test_products_of_attention_count_on_the_cpu():
    q, k, v = torch.randn(2, 4, 10, 8), torch.randn(2, 4, 7, 8), torch.randn(2, 4, 7, 8)
    with torch.no_grad(), ProductClock() as clock:
        torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert clock.mark() == 2 * 4 * 10 * 7 * (8 + 8)


def test_products_are_what_fvcore_counts_of_products():
    model, images = tiny_model("dino_r50"), random_images([(96, 128)])
    with torch.no_grad(), ProductClock() as clock:
        model(images)
    counted = count_flops(model, images).by_operator
    assert clock.mark() == sum(counted[name] for name in ("linear", "conv", "scaled_dot_product_attention"))
