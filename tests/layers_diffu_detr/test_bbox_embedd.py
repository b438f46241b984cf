"""Heads and refinement of boxes."""

import torch
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.bbox_embedd import build_box_head, build_class_head, predict, refine_boxes


def test_a_fresh_class_head_gives_the_prior_and_a_fresh_box_head_keeps_the_reference():
    states, boxes = torch.zeros(1, 2, 8), torch.rand(1, 2, 4) * 0.8 + 0.1
    assert_close(build_class_head(8, 3)(states).sigmoid(), torch.full((1, 2, 3), 0.01))
    assert_close(refine_boxes(build_box_head(8)(torch.randn(1, 2, 8)), boxes), boxes)


def test_refinement_adds_in_logit_space_and_stays_in_float32():
    boxes = torch.tensor([[[0.5, 0.2, 0.8, 0.0]]])
    delta = torch.tensor([[[1.0, 0.0, -1.0, 0.0]]])
    # 0 has no finite logit; the quotient 0.001 / 1 is used instead
    logits = torch.tensor([1.0, 0.25, 4.0, 0.001]).log()
    assert_close(refine_boxes(delta, boxes), (delta + logits).sigmoid())
    assert refine_boxes(delta.bfloat16(), boxes).dtype == torch.float32


def test_each_layer_predicts_with_its_own_heads_from_its_own_reference():
    torch.manual_seed(0)
    class_embed = nn.ModuleList(nn.Linear(8, 3) for _ in range(3))  # one more than there are layers: the proposals'
    bbox_embed = nn.ModuleList(nn.Linear(8, 4) for _ in range(3))
    states, references = torch.randn(2, 1, 5, 8), torch.rand(2, 1, 5, 4)
    layers = predict(states, references, class_embed, bbox_embed)
    assert len(layers) == 2
    for i, layer in enumerate(layers):
        assert_close(layer["pred_logits"], class_embed[i](states[i]))
        assert_close(layer["pred_boxes"], refine_boxes(bbox_embed[i](states[i]), references[i]))
