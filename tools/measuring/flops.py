"""Parameters and FLOPs by module, in fvcore's convention: one multiply-add is one FLOP."""

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

from detectron2.utils.analysis import FlopCountAnalysis
from fvcore.nn.jit_handles import Handle, get_shape
from torch import nn

CONVENTION = (
    "fvcore's: a multiply-add counts one; convolutions, linear layers, matrix products, attention, norms (5 an "
    "element; batch norm 2) and bilinear samples (4 each) count; elementwise operators, softmax, sorting and NMS do not"
)
# In an operator's name they tell of products of matrices, which must not go uncounted.
_PRODUCTS = ("attention", "bilinear", "cdist", "conv", "dot", "einsum", "gru", "linear", "lstm", "mm", "mv", "rnn")
_NMS = ("_batched_nms_coordinate_trick", "_batched_nms_vanilla")  # scripted by torchvision where it is traced


@dataclass
class FlopCount:
    """FLOPs of one call of a model.

    by_module: by the modules' names, "" the model; a module has what ran inside its call and its children's.
    by_operator: by the operators' names.
    uncounted: calls of operators that neither count nor are among those that fvcore and detectron2 leave out by name.
    """

    by_module: dict[str, int]
    by_operator: dict[str, int]
    uncounted: dict[str, int]

    @property
    def total(self) -> int:
        return self.by_module[""]


def count_flops(model: nn.Module, inputs: Any) -> FlopCount:
    """Count the FLOPs of ``model(inputs)`` in eval mode, by tracing it once."""
    was_training = model.training
    analysis = FlopCountAnalysis(model.eval(), inputs)
    analysis.set_op_handle(**HANDLES)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    try:
        by_module = analysis.by_module()
    finally:
        model.train(was_training)
    return FlopCount(
        # the analysis looks at a wrapper that holds the model as `model`
        by_module={name.removeprefix("model").removeprefix("."): flops for name, flops in by_module.items() if name},
        by_operator=dict(analysis.by_operator()),
        uncounted=dict(analysis.unsupported_ops().most_common()),
    )


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Parameters by the modules' names, "" the model; one that several modules share counts in the first."""
    counts = dict.fromkeys((name for name, _ in model.named_modules()), 0)
    for name, parameter in model.named_parameters():
        owner = name
        while owner:
            owner = owner.rpartition(".")[0]
            counts[owner] += parameter.numel()
    return counts


def may_multiply(name: str) -> bool:
    """Whether an operator may well do products of matrices: uncounted, it makes a count too low."""
    namespace, _, operator = name.rpartition("::")
    return namespace not in ("aten", "torchvision") or any(word in operator for word in _PRODUCTS)


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Queries (..., L, E) with keys (..., S, E), then weights with values (..., S, V): L · S · (E + V) each."""
    query, key, value = (get_shape(x) for x in inputs[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _fast_multi_head_attention(inputs: list[Any], outputs: list[Any]) -> int:
    """`nn.MultiheadAttention` as one operator: three projections, attention, output projection."""
    batch, length, channels = get_shape(inputs[0])
    keys = get_shape(inputs[1])[1]
    projections = 2 * (length + keys) * channels**2
    return batch * (projections + 2 * length * keys * channels)


def _batched_product(inputs: list[Any], outputs: list[Any]) -> int:
    """baddbmm: (B, n, k) with (B, k, m), added to something."""
    left, right = get_shape(inputs[1]), get_shape(inputs[2])
    return prod(left) * right[-1]


def _compiled_deformable_attention(inputs: list[Any], outputs: list[Any]) -> int:
    """A bilinear sample of D channels per weight (B, Q, heads, L, points): what fvcore counts for grid_sample."""
    value, weights = get_shape(inputs[0]), get_shape(inputs[4])
    return 4 * prod(weights) * value[-1]


def _embedding_bag(inputs: list[Any], outputs: list[Any]) -> int:
    """Weighted sums of rows: each row that a bag names is multiplied once. So deformable attention counts as above."""
    table, rows = get_shape(inputs[0]), get_shape(inputs[1])
    return prod(rows) * table[-1]


def _scripted_function(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """torchvision's NMS, which counts nothing.

    Raises:
        ValueError: any other scripted function, which the count cannot look into.
    """
    name = inputs[0].node().s("name")
    if name not in _NMS:
        raise ValueError(f"the scripted function {name!r} cannot be counted")
    return Counter()


HANDLES: dict[str, Handle] = {
    "aten::scaled_dot_product_attention": _attention,
    "aten::_native_multi_head_attention": _fast_multi_head_attention,
    "aten::baddbmm": _batched_product,
    "torch_ms_deform_attn::forward": _compiled_deformable_attention,
    "aten::embedding_bag": _embedding_bag,
    "prim::CallFunction": _scripted_function,
}
