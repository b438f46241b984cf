"""The parts of a turn: their time, their products, and the memory of their tensors."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from tools.benchmarking.parts import Parts, tensor_memory, with_rest
from tools.measuring.flops import PRODUCTS, TOTAL, FlopCounter

CPU = torch.device("cpu")


class Model(nn.Module):
    """Calls a module, a module of a container, and a module inside a module."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.heads = nn.ModuleDict({"inner": nn.Sequential(nn.Linear(8, 2))})

    def forward(self, x: Tensor) -> Tensor:
        return self.heads["inner"](self.first(x))


@pytest.fixture
def parts(monkeypatch) -> Parts:
    """Parts of a model `measured` whose clock says one second more each time it is read."""
    model = Model()
    parts = Parts(model, CPU)
    parts.measured = model
    monkeypatch.setattr(parts, "now", itertools.count().__next__)
    return parts


def test_parts_are_spans_and_what_the_model_itself_calls(parts):
    with parts.span("forward"):
        parts.measured(torch.ones(3, 4))
    with parts.span("backward"):
        pass
    assert parts.seconds == {"forward": 5, "forward/first": 1, "forward/heads.inner": 1, "backward": 1}
    assert parts.parents == {TOTAL}


def test_parts_of_one_name_add_up(parts):
    for _ in range(3):
        parts.measured(torch.ones(3, 4))
    assert parts.seconds == {"first": 3, "heads.inner": 3}


def test_a_module_that_is_called_outside_the_model_is_no_part(parts):
    parts.measured.first(torch.ones(3, 4))
    assert parts.seconds == {}


def test_products_are_counted_by_part_and_in_the_backward_pass_twice(parts):
    with FlopCounter(PRODUCTS, parts) as counter:
        with parts.span("forward"):
            y = parts.measured(torch.ones(5, 4, requires_grad=True))
        with parts.span("backward"):
            y.sum().backward()
    first, inner = 5 * 4 * 8, 5 * 8 * 2
    forward = {"forward": first + inner, "forward/first": first, "forward/heads.inner": inner}
    assert counter.multiply_adds() == {TOTAL: 3 * (first + inner), **forward, "backward": 2 * (first + inner)}


def test_the_rest_is_in_no_part():
    assert with_rest({"total": 10, "forward": 6, "forward/backbone": 2, "backward": 3})["rest"] == 1


def test_memory_of_tensors_is_what_they_hold_at_once():
    def turn() -> None:
        x = torch.ones(250_000)  # 1 MB
        y = x.view(2, -1)[1:] * 2  # 0.5 MB
        del x, y
        torch.ones(300_000)  # 1.2 MB

    assert tensor_memory(turn, CPU) == pytest.approx(1_500_000, rel=0.01)
