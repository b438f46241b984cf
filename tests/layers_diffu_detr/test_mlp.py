"""Multi-layer perceptrons: values by hand, and no copies in the backward pass."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from layers_diffu_detr.mlp import FFN, MLP


def graph_of(output: Tensor) -> set[str]:
    """Names of the nodes of `output`'s autograd graph."""
    names, nodes = set(), [output.grad_fn]
    while nodes:
        node = nodes.pop()
        names.add(type(node).__name__)
        nodes += [parent for parent, _ in node.next_functions if parent is not None]
    return names


def test_an_mlp_has_relu_between_its_layers_only():
    mlp = MLP(1, 2, 1, 2)
    with torch.no_grad():
        mlp.layers[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        mlp.layers[1].weight.copy_(torch.tensor([[-2.0, 3.0]]))
        for layer in mlp.layers:
            layer.bias.zero_()
    assert_close(mlp(torch.tensor([[2.0], [-2.0]])), torch.tensor([[-4.0], [6.0]]))


def test_an_ffn_adds_its_input():
    ffn = FFN(2, 3)
    with torch.no_grad():
        ffn.layers[1].weight.zero_()
        ffn.layers[1].bias.copy_(torch.tensor([0.5, -0.5]))
    assert_close(ffn(torch.tensor([[1.0, 2.0]])), torch.tensor([[1.5, 1.5]]))


@pytest.mark.parametrize("module", [MLP(4, 8, 4, 3), FFN(4, 8)], ids=["mlp", "ffn"])
def test_training_changes_no_tensor_in_place_which_would_copy_it(module):
    names = graph_of(module(torch.randn(2, 3, 4)))
    assert "ReluBackward0" in names and "CopySlices" not in names


@pytest.mark.parametrize("module", [MLP(4, 8, 4, 3), FFN(4, 8)], ids=["mlp", "ffn"])
def test_inference_gives_what_training_gives_and_leaves_its_input(module):
    x = torch.randn(2, 3, 4)
    expected, before = module(x), x.clone()
    with torch.no_grad():
        assert_close(module(x), expected)
    assert torch.equal(x, before)
