"""FLOPs of a model by torch's counter, with one multiply-add counted as one FLOP.

`PRODUCTS` adds to torch's table the products of matrices that the table lacks. `FVCORE` adds what fvcore, with which
the field's papers count, counts beyond products: norms and the samples of deformable attention.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count
from torch.utils.module_tracker import ModuleTracker

from layers_diffu_detr.multi_scale_deform_attn import DEFORM_ATTN_OP_NAME

CONVENTION = (
    "fvcore's: a multiply-add counts one; convolutions, linear layers, matrix products, attention, layer and group "
    "norms (5 an element) and deformable attention's bilinear samples (4 each) count; batch norms, resizing, "
    "elementwise operators, softmax, sorting and NMS do not"
)
TOTAL = "Global"  # torch's name for everything
Shape = tuple[int, ...]
# Operator -> FLOPs in torch's unit, half a multiply-add, from its arguments, where a shape stands for a tensor.
Formulas = dict[Any, Callable[..., int]]


class ScopeTracker(ModuleTracker):
    """Tells the counter what it counts for: the names in `parents`, which the user of this object keeps.

    torch's own tracker hooks every module. In training it fails at a module that is called under `no_grad` with an
    input that requires a gradient.
    """

    def __enter__(self) -> "ScopeTracker":
        return self

    def __exit__(self, *error: object) -> None:
        return None


class NameTracker(ScopeTracker):
    """Counts what runs inside a module's call for this module and for all modules that its name begins with.

    `transformer.decoder.layers.0.value_proj` counts for `transformer.decoder` wherever it is called from, and a module
    that is never called has the counts of its children.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._names = {module: {TOTAL, *beginnings(name)} for name, module in model.named_modules()}
        self._outer: list[set[str]] = []

    def __enter__(self) -> "NameTracker":
        self._hooks = [register_module_forward_pre_hook(self._enter), register_module_forward_hook(self._leave)]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _enter(self, module: nn.Module, _: Any) -> None:
        self._outer.append(self.parents)
        self.parents = self._names.get(module, self.parents)

    def _leave(self, *_: Any) -> None:
        self.parents = self._outer.pop()


def beginnings(name: str) -> list[str]:
    """``a``, ``a.b`` and ``a.b.c`` of ``a.b.c``."""
    return [name[:end] for end, letter in enumerate(name + ".") if letter == "."]


class FlopCounter(FlopCounterMode):
    """torch's counter, in multiply-adds, with formulas of our own.

    Args:
        formulas: `PRODUCTS` or `FVCORE`.
        tracker: names what runs.
    """

    def __init__(self, formulas: Formulas, tracker: ScopeTracker) -> None:
        super().__init__(display=False, custom_mapping=formulas)
        self.mod_tracker = tracker

    def multiply_adds(self) -> dict[str, int]:
        """Multiply-adds by the tracker's names; `TOTAL` is everything."""
        return {name: sum(counts.values()) // 2 for name, counts in self.get_flop_counts().items()}


@torch.no_grad()
def count_flops(model: nn.Module, inputs: Any) -> dict[str, int]:
    """FLOPs of ``model(inputs)``, in fvcore's convention, by the names of modules; "" is the model."""
    with FlopCounter(FVCORE, NameTracker(model)) as counter:
        model(inputs)
    counts = counter.multiply_adds()
    return {name: counts.get(name or TOTAL, 0) for name, _ in model.named_modules()}


def count_training_products(model: nn.Module, inputs: Any) -> int:
    """Multiply-adds of the products of matrices in a training step: ``model(inputs)`` and its losses' backward pass."""
    with FlopCounter(PRODUCTS, ScopeTracker()) as counter:
        sum(model(inputs).values()).backward()
    model.zero_grad(set_to_none=True)
    return counter.multiply_adds()[TOTAL]


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


def _multi_head_attention(query: Shape, key: Shape, *_: Any, **__: Any) -> int:
    """`nn.MultiheadAttention` as one operator: projections of queries, keys, values and outputs, and attention."""
    batch, length, channels = query
    projections = 2 * (length + key[1]) * channels**2
    return 2 * batch * (projections + 2 * length * key[1] * channels)


def _norm(x: Shape, *_: Any, **__: Any) -> int:
    return 2 * 5 * prod(x)


def _bilinear_samples(*_: Any, out_shape: Shape, **__: Any) -> int:
    return 2 * 4 * prod(out_shape)


def _compiled_deformable_attention(*arguments: Any, **_: Any) -> int:
    """A bilinear sample of D channels of value (B, S, heads, D) for each weight (B, Q, heads, L, points)."""
    value, weights = arguments[0], arguments[4]
    return 2 * 4 * prod(weights) * value[-1]


def _embedding_bag(table: Shape, rows: Shape, *_: Any, **__: Any) -> int:
    """Each row that a bag names is multiplied once. Deformable attention as bags has four rows for each sample."""
    return 2 * prod(rows) * table[-1]


aten = torch.ops.aten
PRODUCTS: Formulas = {
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten._native_multi_head_attention: _multi_head_attention,
}
FVCORE: Formulas = {
    **PRODUCTS,
    aten.native_layer_norm: _norm,
    aten.native_group_norm: _norm,
    aten.grid_sampler_2d: _bilinear_samples,
    aten._embedding_bag: _embedding_bag,
    aten._embedding_bag_forward_only: _embedding_bag,
}
if DEFORM_ATTN_OP_NAME == "compiled":
    FVCORE[torch.ops.torch_ms_deform_attn.forward] = _compiled_deformable_attention
