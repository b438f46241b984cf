"""Timestep conditioning of a decoder layer."""

import torch
import torch.nn.functional as F
from torch.testing import assert_close

from layers_diffu_detr.conditioning import AdditiveConditioning, ScaleShiftConditioning, TimeStepBlock


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
