"""The heads: shapes, what each starts from, what it gives to the next head, and when they read the maps."""

import pytest
import torch
from torch.testing import assert_close

from projects.diffusion_inst.modeling.head import DynamicConv, HeadSeries, RoIHead

C, K, Q, SIZE = 16, 3, 5, (64, 96)


def series(num_heads=2, **settings):
    torch.manual_seed(0)
    head = RoIHead(
        C, K, DynamicConv(C, dynamic_dim=4, roi_size=3), num_attention_heads=2, feedforward_dim=8, **settings
    )
    return HeadSeries(head, num_heads, embed_dim=C, strides=[4, 8]).eval()


def inputs(batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(batch, C, SIZE[0] // s, SIZE[1] // s, generator=generator) for s in (4, 8)]
    sizes = torch.tensor([SIZE[1], SIZE[0], SIZE[1], SIZE[0]], dtype=torch.float32).expand(batch, 4)
    boxes = torch.rand(batch, Q, 4, generator=generator) * 0.4 + 0.2
    return maps, sizes, boxes, torch.tensor([10, 900])[:batch]


def test_dynamic_convolution_by_matrix_products_of_one_box():
    torch.manual_seed(0)
    conv = DynamicConv(embed_dim=C, dynamic_dim=4, roi_size=3)
    features, regions = torch.randn(2, C), torch.randn(2, 9, C)
    numbers = conv.dynamic_layer(features[1])
    into, out_of = numbers[: C * 4].view(C, 4), numbers[C * 4 :].view(4, C)
    cells = conv.norm2(conv.norm1(regions[1] @ into).relu() @ out_of).relu()
    assert_close(conv(features, regions)[1], conv.norm3(conv.out_layer(cells.flatten())).relu())


def test_every_head_predicts_classes_boxes_and_filters():
    layers = series(num_heads=3, num_filters=7)(*inputs())
    assert [{name: tuple(x.shape) for name, x in layer.items()} for layer in layers] == [
        {"pred_logits": (2, Q, K), "filters": (2, Q, 7), "pred_boxes": (2, Q, 4)}
    ] * 3
    assert "filters" not in series()(*inputs())[0]


def test_heads_have_weights_of_their_own():
    heads = series().head_series
    assert not torch.equal(heads[0].linear1.weight, heads[1].linear1.weight)


def test_scores_start_low():
    logits = series()(*inputs())[-1]["pred_logits"]
    assert (logits.sigmoid() < 0.2).all()


def test_a_delta_of_zero_leaves_boxes_where_they_are():
    heads = series()
    for head in heads.head_series:
        torch.nn.init.zeros_(head.bboxes_delta.weight)
        torch.nn.init.zeros_(head.bboxes_delta.bias)
    maps, sizes, boxes, t = inputs()
    for layer in heads(maps, sizes, boxes, t):
        assert_close(layer["pred_boxes"], boxes, rtol=0, atol=1e-6)


def test_deltas_move_by_half_a_width_per_unit_and_scale_by_e():
    heads = series(num_heads=1)
    (head,) = heads.head_series
    torch.nn.init.zeros_(head.bboxes_delta.weight)
    head.bboxes_delta.bias.data = torch.tensor([1.0, 0.0, 0.0, 1.0])
    maps, sizes, boxes, t = inputs()
    cx, cy, w, h = heads(maps, sizes, boxes, t)[0]["pred_boxes"].unbind(-1)
    assert_close(cx, boxes[..., 0] + boxes[..., 2] / 2)
    assert_close(h, boxes[..., 3] * torch.e)
    assert_close(cy, boxes[..., 1])
    assert_close(w, boxes[..., 2])


def test_time_matters_and_is_each_image_s_own():
    heads = series()
    maps, sizes, boxes, _ = inputs()

    def boxes_at(*times):
        return heads(maps, sizes, boxes, torch.tensor(times))[-1]["pred_boxes"]

    early, mixed = boxes_at(10, 10), boxes_at(10, 900)
    assert_close(early[0], mixed[0])
    assert not torch.allclose(early[1], mixed[1], atol=1e-4)


def test_the_order_of_boxes_and_of_images_is_irrelevant():
    heads = series(num_filters=7)
    maps, sizes, boxes, t = inputs()
    order = torch.tensor([3, 0, 4, 1, 2])
    expected = heads(maps, sizes, boxes, t)[-1]
    shuffled = heads(maps, sizes, boxes[:, order], t)[-1]
    swapped = heads([x.flip(0) for x in maps], sizes, boxes.flip(0), t.flip(0))[-1]
    for name, value in expected.items():
        # Attention adds the boxes up in another order, which changes the last digits of a float32.
        assert_close(shuffled[name], value[:, order], atol=5e-5, rtol=1e-5)
        assert_close(swapped[name].flip(0), value, atol=5e-5, rtol=1e-5)


def test_a_head_s_boxes_are_constants_to_the_next():
    heads = series()
    first, second = heads(*inputs())
    (gradient,) = torch.autograd.grad(
        second["pred_boxes"].sum(), heads.head_series[0].bboxes_delta.bias, allow_unused=True
    )
    assert gradient is None
    (gradient,) = torch.autograd.grad(first["pred_boxes"].sum(), heads.head_series[0].bboxes_delta.bias)
    assert gradient.any()


def test_large_boxes_look_at_coarse_maps():
    heads = series()
    maps, _, _, _ = inputs(batch=1)
    boxes_abs = torch.tensor([[[8.0, 8.0, 24.0, 24.0], [0.0, 0.0, 250.0, 250.0]]])
    before = heads.pool(maps, boxes_abs)
    after = heads.pool([maps[0] + 1, maps[1]], boxes_abs)
    assert before.shape == (1, 2, 9, C)
    assert_close(after[0, 0], before[0, 0] + 1)
    assert_close(after[0, 1], before[0, 1])


def test_no_heads_are_refused():
    with pytest.raises(ValueError, match="num_heads is 0"):
        series(num_heads=0)
