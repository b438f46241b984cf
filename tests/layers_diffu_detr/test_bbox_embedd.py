"""Heads, timestep conditioning and refinement of boxes."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.bbox_embedd import (
    AdditiveConditioning,
    ScaleShiftConditioning,
    TimeStepBlock,
    build_box_head,
    build_class_head,
    predict,
    refine_boxes,
)


def test_a_fresh_class_head_gives_the_prior_and_a_fresh_box_head_keeps_the_reference():
    states, boxes = torch.zeros(1, 2, 8), torch.rand(1, 2, 4) * 0.8 + 0.1
    assert_close(build_class_head(8, 3)(states).sigmoid(), torch.full((1, 2, 3), 0.01))
    assert_close(refine_boxes(build_box_head(8)(torch.randn(1, 2, 8)), boxes), boxes)


def test_refinement_adds_in_logit_space_and_stays_in_float32():
    boxes = torch.tensor([[[0.5, 0.2, 0.8, 0.0]]])
    delta = torch.tensor([[[1.0, 0.0, -1.0, 0.0]]])
    # 0 has no logit: it counts as 0.001 / 1
    logits = torch.tensor([1.0, 0.25, 4.0, 0.001]).log()
    assert_close(refine_boxes(delta, boxes), (delta + logits).sigmoid())
    assert refine_boxes(delta.bfloat16(), boxes).dtype == torch.float32


def test_a_timestep_block_scales_and_shifts_each_image_by_its_own_time():
    block = TimeStepBlock(embed_dim=3, time_embed_dim=5)
    assert [name for name, _ in block.named_parameters()] == ["emb_layers.1.weight", "emb_layers.1.bias"]
    x, time_embed = torch.randn(2, 4, 3), torch.randn(2, 5)
    result = block(x, time_embed)
    for i in range(2):
        scale, shift = F.linear(F.silu(time_embed[i]), block.emb_layers[1].weight, block.emb_layers[1].bias).split(3)
        assert_close(result[i], x[i] * (2 + scale) + shift)


def test_the_released_conditioning_has_a_block_before_each_part():
    conditioning = ScaleShiftConditioning(embed_dim=3)
    x, time_embed = torch.randn(2, 4, 3), torch.randn(2, 12)
    for part in range(3):
        assert_close(conditioning(x, time_embed, part), conditioning[part](x, time_embed))


def test_the_papers_conditioning_adds_one_embedding_after_self_attention():
    conditioning = AdditiveConditioning(embed_dim=3)
    x, time_embed = torch.randn(2, 4, 3), torch.randn(2, 12)
    assert_close(conditioning(x, time_embed, 0), x)
    assert_close(conditioning(x, time_embed, 1), x + conditioning[0](time_embed)[:, None])
    assert_close(conditioning(x, time_embed, 2), x)


def test_each_layer_predicts_with_its_own_heads_from_its_own_reference():
    torch.manual_seed(0)
    class_embed = nn.ModuleList(nn.Linear(8, 3) for _ in range(3))  # one more than layers, for the proposals
    bbox_embed = nn.ModuleList(nn.Linear(8, 4) for _ in range(3))
    states, references = torch.randn(2, 1, 5, 8), torch.rand(2, 1, 5, 4)
    layers = predict(states, references, class_embed, bbox_embed)
    assert len(layers) == 2
    for i, layer in enumerate(layers):
        assert_close(layer["pred_logits"], class_embed[i](states[i]))
        assert_close(layer["pred_boxes"], refine_boxes(bbox_embed[i](states[i]), references[i]))
