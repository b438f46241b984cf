"""Deformable attention: the ops agree, values by hand, padding, the choice of the op."""

import importlib.util
import math
import os
import sys

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr import multi_scale_deform_attn as module
from layers_diffu_detr.multi_scale_deform_attn import (
    DEFORM_ATTN_OP_NAME,
    ENV_VARIABLE,
    MultiScaleDeformableAttention,
    choose_deform_attn_op,
    deform_attn_bags,
    deform_attn_pytorch,
)

SHAPES = torch.tensor([[6, 9], [3, 5], [2, 3], [1, 1]])  # (height, width)
LENGTHS = SHAPES.prod(1)
STARTS = LENGTHS.cumsum(0) - LENGTHS
TOKENS = int(LENGTHS.sum())
GEOMETRY = {"spatial_shapes": SHAPES, "level_start_index": STARTS}


@pytest.fixture
def compiled_op():
    pytest.importorskip("torch_ms_deform_attn", reason="the compiled op is not installed")
    return choose_deform_attn_op("compiled")[1]


def op_inputs(dtype, batch=2, queries=7, heads=2, dim=4, points=3):
    generator = torch.Generator().manual_seed(0)
    levels = len(SHAPES)
    value = torch.randn(batch, TOKENS, heads, dim, generator=generator, dtype=torch.float64)
    locations = (
        torch.rand(batch, queries, heads, levels, points, 2, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    )
    weights = torch.randn(batch, queries, heads, levels * points, generator=generator, dtype=torch.float64).softmax(-1)
    tensors = (value, locations, weights.unflatten(-1, (levels, points)))
    return [x.to(dtype).requires_grad_() for x in tensors]


def attention(points=3, **overrides):
    """Attention whose offsets and weights depend on the query, which those of a fresh one do not."""
    torch.manual_seed(0)
    layer = MultiScaleDeformableAttention(
        **{"embed_dim": 16, "num_heads": 2, "num_levels": 4, **overrides}, num_points=points
    )
    with torch.no_grad():
        for linear in (layer.sampling_offsets, layer.attention_weights):
            linear.weight.normal_(std=0.5)
    return layer


def reference(kind, batch=2, queries=7):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, queries, 4, {"points": 2, "boxes": 4}[kind], generator=generator)


# ---- the two ops ----


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_compiled_and_pytorch_ops_agree_forward_and_backward(compiled_op, dtype, tolerance):
    results = []
    for op in (compiled_op, deform_attn_pytorch):
        value, locations, weights = op_inputs(dtype)
        output = op(value, SHAPES, STARTS, locations, weights)
        assert output.shape == (2, 7, 8) and output.dtype == dtype
        seed = torch.randn(output.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)
        gradients = torch.autograd.grad(output, (value, locations, weights), seed)
        results.append((output, *gradients))
    for compiled, pytorch in zip(*results, strict=True):
        assert_close(compiled, pytorch, rtol=tolerance, atol=tolerance * 10)
        assert pytorch.abs().max() > 0


def test_embedding_bags_agree_with_the_pytorch_op():
    with torch.no_grad():
        value, locations, weights = op_inputs(torch.float32, queries=50)
        locations[0, 0] *= 1e6  # far outside, on either side
        locations[0, 1, :, :, :, 0] = 0.0  # on the edges
        locations[0, 2, :, :, :, 1] = 1.0
        inputs = (value, SHAPES, STARTS, locations, weights)
        assert_close(deform_attn_bags(*inputs), deform_attn_pytorch(*inputs), rtol=1e-5, atol=1e-5)


def test_embedding_bags_survive_locations_that_are_not_finite():
    with torch.no_grad():
        value, locations, weights = op_inputs(torch.float32)
        locations[0, 0, 0] = torch.tensor([math.nan, math.inf])
        outputs = [op(value, SHAPES, STARTS, locations, weights) for op in (deform_attn_bags, deform_attn_pytorch)]
        assert_close(outputs[0].flatten(0, 1)[1:], outputs[1].flatten(0, 1)[1:], rtol=1e-5, atol=1e-5)


def test_the_pytorch_op_reads_the_sizes_once_for_all_that_share_them(monkeypatch):
    """Reading them from a GPU waits for it."""
    read, tolist = [], torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: read.append(tensor) or tolist(tensor))
    value, locations, weights = op_inputs(torch.float32)
    for shapes in (SHAPES.clone(), SHAPES.flip(-1)):  # two images, with three layers each
        for _ in range(3):
            output = deform_attn_pytorch(value, shapes, STARTS, locations, weights)
    assert len(read) == 2
    transposed = SHAPES.flip(-1).clone()
    assert torch.equal(output, deform_attn_pytorch(value, transposed, STARTS, locations, weights))
    assert not torch.equal(output, deform_attn_pytorch(value, SHAPES, STARTS, locations, weights))


def test_inference_on_a_cpu_goes_through_embedding_bags_and_training_does_not():
    if not module._BAGS_ARE_FAST:
        pytest.skip("an op is forced, or this PyTorch has no FBGEMM")
    value = torch.zeros(1, 3, 2, 4)
    with torch.no_grad():
        assert module._op_for(value) is deform_attn_bags
        assert module._op_for(value.double()) is module._deform_attn
    assert module._op_for(value) is module._deform_attn


@pytest.mark.parametrize("kind", ["points", "boxes"])
def test_the_layer_agrees_with_either_op_forward_and_backward(compiled_op, kind, monkeypatch):
    results = []
    for op in (compiled_op, deform_attn_pytorch):
        monkeypatch.setattr(module, "_deform_attn", op)
        layer, generator = attention(), torch.Generator().manual_seed(3)
        query, pos, value = (torch.randn(2, n, 16, generator=generator).requires_grad_() for n in (7, 7, TOKENS))
        points = reference(kind).requires_grad_()
        output = layer(query, layer.project_value(value), pos, reference_points=points, **GEOMETRY)
        leaves = (query, pos, value, points, *layer.parameters())
        results.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
    for compiled, pytorch in zip(*results, strict=True):
        assert_close(compiled, pytorch, rtol=1e-4, atol=1e-4)


def test_gradients_of_the_pytorch_op_equal_finite_differences():
    value, locations, weights = op_inputs(torch.float64, batch=1, queries=2, heads=1, dim=2, points=2)
    assert torch.autograd.gradcheck(
        lambda v, p, w: deform_attn_pytorch(v, SHAPES, STARTS, p, w), (value, locations, weights)
    )


def test_gradients_of_the_compiled_op_equal_finite_differences(compiled_op):
    value, locations, weights = op_inputs(torch.float64, batch=1, queries=2, heads=1, dim=2, points=2)
    assert torch.autograd.gradcheck(lambda v, p, w: compiled_op(v, SHAPES, STARTS, p, w), (value, locations, weights))


# ---- by hand ----


@pytest.mark.parametrize("op_name", ["auto", "pytorch", "bags"])
def test_sampling_is_bilinear_between_pixel_centres_and_zero_outside(op_name):
    op = deform_attn_bags if op_name == "bags" else choose_deform_attn_op(op_name)[1]
    value = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]).view(1, 6, 1, 1)  # rows (1, 2, 3) and (4, 5, 6)
    xy = [
        (0.5 / 3, 0.25),  # centre of the first pixel
        (1.5 / 3, 0.75),  # centre of 5
        (1.0 / 3, 0.5),  # amid 1, 2, 4, 5
        (0.0, 0.25),  # left edge: half of the weight lies outside
        (-1.0, 0.5),  # outside
    ]
    locations = torch.tensor(xy).view(1, 5, 1, 1, 1, 2)
    output = op(value, torch.tensor([[2, 3]]), torch.tensor([0]), locations, torch.ones(1, 5, 1, 1, 1))
    assert_close(output.flatten(), torch.tensor([1.0, 5.0, 3.0, 0.5, 0.0]))


def test_offsets_are_pixels_of_points_and_half_sizes_of_boxes():
    layer = MultiScaleDeformableAttention(embed_dim=8, num_heads=1, num_levels=1, num_points=2)
    with torch.no_grad():
        layer.sampling_offsets.bias.copy_(torch.tensor([1.0, 0.0, 0.0, -2.0]))
    query, shapes = torch.zeros(1, 1, 8), torch.tensor([[4, 10]])
    points = layer._sampling_locations(query, torch.tensor([0.5, 0.5]).view(1, 1, 1, 2), shapes)
    assert_close(points.flatten(0, -2), torch.tensor([[0.6, 0.5], [0.5, 0.0]]))
    box = torch.tensor([0.5, 0.5, 0.4, 0.2]).view(1, 1, 1, 4)
    # offset / 2 points · size / 2: (1 / 2) · 0.4 / 2 = 0.1 and (-2 / 2) · 0.2 / 2 = -0.1
    assert_close(layer._sampling_locations(query, box, shapes).flatten(0, -2), torch.tensor([[0.6, 0.5], [0.5, 0.4]]))


def test_a_fresh_layer_looks_in_a_direction_per_head_with_equal_weights():
    layer = MultiScaleDeformableAttention(embed_dim=8, num_heads=4, num_levels=2, num_points=3)
    offsets = layer.sampling_offsets.bias.view(4, 2, 3, 2)
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    for level in range(2):
        for point in range(3):
            assert_close(offsets[:, level, point], directions * (point + 1), rtol=0, atol=1e-6)
    for parameter in (layer.sampling_offsets.weight, layer.attention_weights.weight, layer.attention_weights.bias):
        assert not parameter.any()


# ---- invariants ----


def test_masked_values_do_not_matter():
    layer, query, value = attention(), torch.randn(2, 7, 16), torch.randn(2, TOKENS, 16)
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[1, ::3] = True
    changed = value.masked_fill(mask[..., None], 1e4)
    outputs = [
        layer(query, layer.project_value(x, mask), reference_points=reference("points"), **GEOMETRY)
        for x in (value, changed)
    ]
    assert_close(*outputs, rtol=0, atol=0)
    assert not layer.project_value(value, mask)[mask].any()


@pytest.mark.parametrize("kind", ["points", "boxes"])
def test_under_autocast_sampling_stays_in_float32(kind):
    layer, query, value = attention(), torch.randn(2, 7, 16), torch.randn(2, TOKENS, 16)
    exact = layer(query, layer.project_value(value), reference_points=reference(kind), **GEOMETRY)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(query, layer.project_value(value), reference_points=reference(kind), **GEOMETRY)
    assert_close(output.float(), exact, rtol=0.1, atol=0.1)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="embed_dim is 10.*num_heads, 4"):
        MultiScaleDeformableAttention(embed_dim=10, num_heads=4)


# ---- the choice of the op ----


def imported_with(choice, monkeypatch):
    """A second copy of the module, imported with the environment variable set."""
    monkeypatch.setenv(ENV_VARIABLE, choice)
    spec = importlib.util.spec_from_file_location("second_copy", module.__file__)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    return copy


def test_the_environment_variable_forces_pytorch(monkeypatch):
    copy = imported_with("pytorch", monkeypatch)
    assert copy.DEFORM_ATTN_OP_NAME == "pytorch" and copy._deform_attn is copy.deform_attn_pytorch


def test_the_environment_variable_forces_the_compiled_op(monkeypatch, compiled_op):
    copy = imported_with("compiled", monkeypatch)
    assert copy.DEFORM_ATTN_OP_NAME == "compiled" and copy._deform_attn is compiled_op


def test_a_wrong_environment_variable_is_refused_with_its_name(monkeypatch):
    with pytest.raises(ValueError, match=f"{ENV_VARIABLE} is 'cuda'; allowed are auto, compiled, pytorch"):
        imported_with("cuda", monkeypatch)


def test_the_compiled_op_is_chosen_where_it_is_installed(compiled_op):
    assert choose_deform_attn_op("auto") == ("compiled", compiled_op)
    assert choose_deform_attn_op("pytorch") == ("pytorch", deform_attn_pytorch)
    if os.environ.get(ENV_VARIABLE, "auto") == "auto":
        assert DEFORM_ATTN_OP_NAME == "compiled"


def test_without_the_package_pytorch_takes_its_place_and_forcing_it_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_ms_deform_attn", None)  # importing it raises ImportError
    assert choose_deform_attn_op("auto") == ("pytorch", deform_attn_pytorch)
    with pytest.raises(ValueError, match="torch-ms-deform-attn is not installed"):
        choose_deform_attn_op("compiled")
