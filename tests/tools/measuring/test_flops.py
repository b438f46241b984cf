"""FLOPs against formulas by hand: a multiply-add counts one."""

import pytest
import torch
from torch import Tensor, nn

from layers_diffu_detr import multi_scale_deform_attn as msda
from layers_diffu_detr.attention import MultiheadAttention
from layers_diffu_detr.multi_scale_deform_attn import MultiScaleDeformableAttention
from layers_diffu_detr.transformer import DeformableTransformerEncoder
from tests.projects.diffusion_inst.tiny import tiny_model as tiny_diffusion_inst
from tests.support.tiny_models import tiny_model
from tools.measuring.flops import count_flops, count_training_products
from tools.measuring.measure import random_images, with_targets

pytestmark = pytest.mark.slow

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
    assert count_flops(call, torch.zeros(2, queries, C))[""] == 2 * (4 * queries * C * C + 2 * queries * queries * C)


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
        count = count_flops(SelfAttention().eval(), torch.zeros(2, 10, C))[""]
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_before)
    assert count == 2 * (4 * 10 * C * C + 2 * 10 * 10 * C)


@pytest.mark.parametrize("op", ["pytorch", "compiled", "bags"])
def test_deformable_attention_counts_4_per_sample_with_any_op(op, monkeypatch):
    if op == "compiled" and msda.DEFORM_ATTN_OP_NAME != op:
        pytest.skip("the compiled op is not in use")
    function = msda.deform_attn_bags if op == "bags" else msda.choose_deform_attn_op(op)[1]
    monkeypatch.setattr(msda, "_op_for", lambda value: function)
    attention = MultiScaleDeformableAttention(C, HEADS, len(SHAPES), POINTS)
    values = torch.zeros(2, TOKENS, HEADS, C // HEADS)
    call = Call(attention, projected_value=values, reference_points=torch.rand(2, 7, len(SHAPES), 4), **geometry())
    assert count_flops(call, torch.zeros(2, 7, C))[""] == 2 * deformable_attention(7)


def test_an_encoder_counts_values_attention_ffn_and_norms_of_every_layer():
    layers, hidden = 3, 48
    encoder = DeformableTransformerEncoder(C, HEADS, hidden, num_layers=layers, num_feature_levels=len(SHAPES))
    references = torch.rand(1, TOKENS, len(SHAPES), 2)
    call = Call(encoder, query_pos=torch.zeros(1, TOKENS, C), reference_points=references, **geometry())
    count = count_flops(call, torch.zeros(1, TOKENS, C))
    layer = TOKENS * (C * C + 2 * C * hidden) + deformable_attention(TOKENS) + 2 * layer_norm(TOKENS)
    assert count[""] == layers * layer
    assert count["module.layers.1.ffns.0"] == 2 * TOKENS * C * hidden
    assert count["module.layers"] == count["module"]  # a list of modules is never called


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
        model.sampler.num_steps = number
        totals.append(count_flops(model, random_images([(128, 160)]))[""])
    step = totals[1] - totals[0]
    assert totals[2] - totals[1] == step and totals[3] - totals[2] == 2 * step
    assert step == decoder_pass(queries=30, classes=7)


def test_what_runs_counts_though_nothing_reads_it():
    class Wasteful(nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.unread = nn.Linear(C, C), nn.Linear(C, 2 * C)

        def forward(self, x: Tensor) -> Tensor:
            self.unread(x)
            return self.read(x)

    assert count_flops(Wasteful(), torch.zeros(3, C)) == {"": 3 * 3 * C * C, "read": 3 * C * C, "unread": 6 * C * C}


def test_a_module_counts_where_its_name_says_wherever_it_is_called():
    class Caller(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.ModuleDict({"inner": nn.Sequential(nn.Linear(C, C)), "outer": nn.Linear(C, C)})

        def forward(self, x: Tensor) -> Tensor:
            return self.part["outer"](self.part["inner"][0](x))

    linear = 3 * C * C
    names = {"": 2, "part": 2, "part.inner": 1, "part.inner.0": 1, "part.outer": 1}
    assert count_flops(Caller(), torch.zeros(3, C)) == {name: number * linear for name, number in names.items()}


def test_a_training_step_counts_three_products_of_a_layer_whose_input_needs_a_gradient():
    class Losses(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.Linear(32, 8))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"loss": self.layers(x).sum()}

    model = Losses()
    assert count_training_products(model, torch.zeros(5, 16)) == 2 * 5 * 16 * 32 + 3 * 5 * 32 * 8
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("model", [lambda: tiny_model("diffu_dino_r50"), tiny_diffusion_inst])
def test_every_family_trains_under_the_counter(model):
    model = model().train()
    images = random_images([(64, 96)])
    products = count_training_products(model, with_targets(images, 3, model.num_classes))
    forward = count_flops(model.eval(), images)[""]
    assert products > 2 * forward
