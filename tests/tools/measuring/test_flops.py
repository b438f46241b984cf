"""FLOPs against formulas by hand: a multiply-add counts one."""

import pytest
import torch
from torch import Tensor, nn

from layers_diffu_detr import multi_scale_deform_attn as msda
from layers_diffu_detr.attention import MultiheadAttention
from layers_diffu_detr.multi_scale_deform_attn import MultiScaleDeformableAttention
from layers_diffu_detr.transformer import DeformableTransformerEncoder
from tests.support.tiny_models import tiny_model
from tools.measuring.flops import count_flops, count_parameters, may_multiply
from tools.measuring.measure import random_images, set_evaluations

C, HEADS, POINTS = 32, 4, 4
SHAPES = ((8, 12), (4, 6))
TOKENS = 8 * 12 + 4 * 6
SAMPLING = 4 * len(SHAPES) * POINTS * C  # per query: fvcore's 4 for a bilinear sample, C channels in all heads together


def geometry() -> dict[str, Tensor]:
    shapes = torch.tensor(SHAPES)
    return {"spatial_shapes": shapes, "level_start_index": torch.tensor([0, 8 * 12])}


def layer_norm(tokens: int, channels: int = C) -> int:
    return 5 * tokens * channels


def deformable_attention(queries: int) -> int:
    """Offsets, weights and output of the queries; the values are projected elsewhere."""
    samples = HEADS * len(SHAPES) * POINTS
    return queries * (C * 2 * samples + C * samples + C * C + SAMPLING)


class Call(nn.Module):
    """A module with all arguments but the first fixed, so that it can be traced."""

    def __init__(self, module: nn.Module, **arguments: Tensor | None):
        super().__init__()
        self.module, self.arguments = module, arguments

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x, **self.arguments)


@pytest.mark.parametrize("masked", [False, True])
def test_self_attention_counts_projections_and_both_products(masked):
    queries = 10
    attention = MultiheadAttention(C, HEADS)
    mask = torch.eye(queries, dtype=torch.bool) if masked else None
    call = Call(attention, query_pos=torch.zeros(2, queries, C), attn_mask=mask)
    count = count_flops(call, torch.zeros(2, queries, C))
    assert count.total == 2 * (4 * queries * C * C + 2 * queries * queries * C)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_every_path_of_multi_head_attention_counts_the_same(fast, need_weights):
    class SelfAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = nn.MultiheadAttention(C, HEADS, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attn(x, x, x, need_weights=need_weights)[0]

    fast_before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fast)
    try:
        count = count_flops(SelfAttention(), torch.zeros(2, 10, C))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_before)
    assert count.total == 2 * (4 * 10 * C * C + 2 * 10 * 10 * C)
    assert ("_native_multi_head_attention" in count.by_operator) == fast


@pytest.mark.parametrize("op", ["pytorch", "compiled", "bags"])
def test_deformable_attention_counts_4_per_sample_with_any_op(op, monkeypatch):
    try:
        function = msda.deform_attn_bags if op == "bags" else msda.choose_deform_attn_op(op)[1]
    except ValueError:
        pytest.skip("the compiled op is not installed")
    monkeypatch.setattr(msda, "_op_for", lambda value: function)
    attention = MultiScaleDeformableAttention(C, HEADS, len(SHAPES), POINTS)
    values = torch.zeros(2, TOKENS, HEADS, C // HEADS)
    call = Call(attention, projected_value=values, reference_points=torch.rand(2, 7, len(SHAPES), 4), **geometry())
    with torch.no_grad():
        assert count_flops(call, torch.zeros(2, 7, C)).total == 2 * deformable_attention(7)


def test_an_encoder_counts_values_attention_ffn_and_norms_of_every_layer():
    layers, hidden = 3, 48
    encoder = DeformableTransformerEncoder(C, HEADS, hidden, num_layers=layers, num_feature_levels=len(SHAPES))
    references = torch.rand(1, TOKENS, len(SHAPES), 2)
    call = Call(encoder, query_pos=torch.zeros(1, TOKENS, C), reference_points=references, **geometry())
    count = count_flops(call, torch.zeros(1, TOKENS, C))
    layer = TOKENS * (C * C + 2 * C * hidden) + deformable_attention(TOKENS) + 2 * layer_norm(TOKENS)
    assert count.total == layers * layer
    assert count.by_module["module.layers.1.ffns.0"] == 2 * TOKENS * C * hidden


def decoder_pass(*, queries: int, classes: int) -> int:
    """One evaluation of the tiny DiffuDINO's decoder and of its last heads, without the values of memory."""
    c, layers, hidden, heads, levels = 256, 2, 64, 8, 4
    samples = heads * levels * 4
    self_attention = 4 * queries * c * c + 2 * queries * queries * c
    cross_attention = queries * (c * 3 * samples + c * c + 4 * levels * 4 * c)
    positions = queries * (2 * c * c + c * c)
    conditioning = 3 * 4 * c * 2 * c
    ffn = 2 * queries * c * hidden
    box_head = queries * (2 * c * c + 4 * c)
    norms = 4 * layer_norm(queries, c)
    per_layer = positions + self_attention + cross_attention + conditioning + ffn + box_head + norms
    time_embedding = c * 4 * c + 4 * c * 4 * c
    return layers * per_layer + time_embedding + queries * c * classes


def test_each_further_evaluation_costs_one_decoder_pass():
    model = tiny_model("diffu_dino_r50")
    totals = []
    for number in (1, 2, 3, 5):
        set_evaluations(model, number)
        totals.append(count_flops(model, random_images([(128, 160)])).total)
    step = totals[1] - totals[0]
    assert totals[2] - totals[1] == step and totals[3] - totals[2] == 2 * step
    assert step == decoder_pass(queries=30, classes=7)


def test_counting_leaves_the_mode_of_the_model():
    model = tiny_model("dino_r50").train()
    count_flops(model, random_images([(64, 64)]))
    assert model.training


def test_nothing_that_multiplies_matrices_is_left_out():
    count = count_flops(tiny_model("diffu_dino_r50"), random_images([(64, 96)]))
    assert count.uncounted and not [name for name in count.uncounted if may_multiply(name)]
    assert "aten::sin" in count.uncounted  # known not to count, and shown


@pytest.mark.parametrize(
    "name", ["aten::addbmm", "aten::_efficient_attention_forward", "my_package::anything", "prim::PythonOp.MSDA"]
)
def test_unknown_and_product_like_operators_are_suspects(name):
    assert may_multiply(name)


def test_a_scripted_function_is_refused():
    @torch.jit.script
    def product(x: Tensor) -> Tensor:
        return x @ x

    class Scripted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return product(x)

    with pytest.raises(ValueError, match="the scripted function 'product' cannot be counted"):
        count_flops(Scripted(), torch.zeros(3, 3))


def test_parameters_of_children_add_up_and_shared_ones_count_once():
    model = tiny_model("diffu_dino_r50")
    counts = count_parameters(model)
    assert counts[""] == sum(p.numel() for p in model.parameters())
    for name, module in model.named_modules():
        children = [f"{name}.{child}".removeprefix(".") for child, _ in module.named_children()]
        own = sum(p.numel() for n, p in model.named_parameters() if n.rpartition(".")[0] == name)
        assert counts[name] == own + sum(counts.get(child, 0) for child in children)
