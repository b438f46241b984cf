"""Encoder and decoder: values projected once, conditioning, masks, references, names."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.bbox_embedd import LookForwardOnce, build_box_head, build_ref_point_head, refine_boxes
from layers_diffu_detr.conditioning import AdditiveConditioning, ScaleShiftConditioning
from layers_diffu_detr.position_embedding import get_sine_pos_embed
from layers_diffu_detr.transformer import DeformableTransformerDecoder, DeformableTransformerEncoder

SHAPES = torch.tensor([[4, 6], [2, 3]])
TOKENS = 24 + 6
GEOMETRY = {"spatial_shapes": SHAPES, "level_start_index": torch.tensor([0, 24])}
SIZES = {"embed_dim": 16, "num_heads": 2, "feedforward_dim": 32, "num_layers": 2, "num_feature_levels": 2}


def randomize(module):
    """Add noise to all parameters: those that start at 0 would hide errors in what they multiply."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module


def make_decoder(conditioning=None, **overrides):
    """A decoder like DINO's, except for `overrides`."""
    parts = {"norm": nn.LayerNorm(16), "ref_point_head": build_ref_point_head(16)}
    decoder = DeformableTransformerDecoder(**{**SIZES, **parts, **overrides}, conditioning=conditioning)
    decoder.bbox_embed = nn.ModuleList(build_box_head(16) for _ in range(decoder.num_layers))
    return randomize(decoder).eval()


def decoder_inputs(batch=2, queries=5):
    generator = torch.Generator().manual_seed(1)
    return {
        "query": torch.randn(batch, queries, 16, generator=generator),
        "value": torch.randn(batch, TOKENS, 16, generator=generator),
        "reference_points": torch.rand(batch, queries, 4, generator=generator),
        "valid_ratios": torch.ones(batch, 2, 2),
        **GEOMETRY,
    }


def padding_mask():
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[1, 10:24] = mask[1, 27:] = True
    return mask


def test_values_projected_beforehand_give_the_same_as_memory():
    decoder, inputs, mask = make_decoder(), decoder_inputs(), padding_mask()
    direct = decoder(**inputs, key_padding_mask=mask)
    projected = decoder.project_values(inputs.pop("value"), mask)
    assert len(projected) == 2 and projected[0].shape == (2, TOKENS, 2, 8)
    reused = decoder(**inputs, projected_values=projected)
    for a, b in zip(direct, reused, strict=True):
        assert_close(a, b, rtol=0, atol=0)


def test_states_are_normalized_and_boxes_are_refined_layer_by_layer():
    decoder, inputs = make_decoder(num_layers=3), decoder_inputs()
    seen = []
    for layer in decoder.layers:
        layer.register_forward_hook(lambda _, args, output: seen.append(output))
    states, boxes = decoder(**inputs)
    assert states.shape == (3, 2, 5, 16) and boxes.shape == (2, 2, 5, 4)
    assert_close(states, decoder.norm(torch.stack(seen)))
    reference = inputs["reference_points"]
    for i in range(2):
        assert_close(boxes[i], refine_boxes(decoder.bbox_embed[i](seen[i]), reference))
        reference = boxes[i]


def test_the_last_layer_does_not_refine_boxes_that_nobody_reads():
    decoder, calls = make_decoder(), []
    for index, head in enumerate(decoder.bbox_embed):
        head.register_forward_hook(lambda *_, index=index: calls.append(index))
    decoder(**decoder_inputs())
    assert calls == [0]


def test_a_single_layer_has_no_boxes_between_layers():
    states, boxes = make_decoder(num_layers=1)(**decoder_inputs())
    assert states.shape == (1, 2, 5, 16) and boxes.shape == (0, 2, 5, 4)


def test_references_are_detached_between_layers_but_refined_boxes_are_not():
    decoder = make_decoder(num_layers=3)
    _, boxes = decoder(**decoder_inputs())
    first, second = decoder.bbox_embed[0].layers[-1].bias, decoder.bbox_embed[1].layers[-1].bias
    assert torch.autograd.grad(boxes[0].sum(), first, retain_graph=True)[0].abs().sum() > 0
    gradients = torch.autograd.grad(boxes[1].sum(), (first, second), allow_unused=True)
    assert gradients[0] is None or not gradients[0].any()
    assert gradients[1].abs().sum() > 0


def test_looking_forward_once_refined_boxes_are_constants_too():
    decoder = make_decoder()
    _, expected = decoder(**decoder_inputs())
    decoder.look_forward = LookForwardOnce()
    _, boxes = decoder(**decoder_inputs())
    assert_close(boxes, expected)
    assert expected.requires_grad and not boxes.requires_grad


def test_without_a_norm_states_are_the_layers_outputs():
    decoder, seen = make_decoder(norm=None), []
    for layer in decoder.layers:
        layer.register_forward_hook(lambda _, args, output: seen.append(output))
    states, _ = decoder(**decoder_inputs())
    assert_close(states, torch.stack(seen), rtol=0, atol=0)


def test_without_a_head_for_them_the_given_positions_serve_every_layer():
    decoder, inputs, seen = make_decoder(ref_point_head=None), decoder_inputs(), []
    for layer in decoder.layers:
        layer.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    positions = torch.randn(2, 5, 16)
    states, _ = decoder(**inputs, query_pos=positions)
    assert len(seen) == 2 and all(x is positions for x in seen)
    assert not torch.allclose(states, decoder(**inputs, query_pos=positions + 1)[0], atol=1e-3)


@pytest.mark.parametrize("conditioning", [ScaleShiftConditioning(16), AdditiveConditioning(16)])
def test_each_image_is_conditioned_on_its_own_time(conditioning):
    decoder, inputs = make_decoder(conditioning), decoder_inputs()
    time_embed = torch.randn(2, 64)
    states, _ = decoder(**inputs, time_embed=time_embed)
    other, _ = decoder(**inputs, time_embed=torch.stack([time_embed[0], -time_embed[1]]))
    assert_close(states[:, 0], other[:, 0])
    assert not torch.allclose(states[:, 1], other[:, 1], atol=1e-3)


def test_each_layer_has_conditioning_of_its_own_under_the_released_names():
    decoder = DeformableTransformerDecoder(**SIZES, conditioning=ScaleShiftConditioning(16))
    names = {name for name, _ in decoder.named_parameters() if "time" in name}
    parts = [f"time_step_embeds.{i}.emb_layers.1.{kind}" for i in range(3) for kind in ("weight", "bias")]
    assert names == {f"layers.{layer}.{part}" for layer in range(2) for part in parts}
    weights = [layer.time_step_embeds[0].emb_layers[1].weight for layer in decoder.layers]
    assert weights[0] is not weights[1]


def test_a_plain_decoder_has_no_time_parameters_and_refuses_a_time():
    decoder = make_decoder()
    assert not decoder.conditioned
    assert not [name for name in decoder.state_dict() if "time" in name]
    with pytest.raises(ValueError, match="time_embed is given.*conditioning=None"):
        decoder(**decoder_inputs(), time_embed=torch.zeros(2, 64))


def test_queries_behind_the_attention_mask_are_decoded_as_if_alone():
    decoder, inputs = make_decoder(), decoder_inputs()
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[2:, :2] = mask[:2, 2:] = True
    states, boxes = decoder(**inputs, attn_masks=[mask, None])
    parts = {name: inputs[name][:, 2:] for name in ("query", "reference_points")}
    alone_states, alone_boxes = decoder(**{**inputs, **parts})
    assert_close(states[:, :, 2:], alone_states)
    assert_close(boxes[:, :, 2:], alone_boxes)


def test_the_order_of_queries_does_not_matter():
    decoder, inputs = make_decoder(), decoder_inputs()
    order = torch.tensor([3, 1, 4, 0, 2])
    states, _ = decoder(**inputs)
    permuted, _ = decoder(**{**inputs, **{name: inputs[name][:, order] for name in ("query", "reference_points")}})
    assert_close(states[:, :, order], permuted)


def test_in_inference_padding_changes_nothing_and_in_training_query_positions_see_it_as_in_detrex():
    decoder, inputs = make_decoder(), decoder_inputs(batch=1)
    levels = inputs["value"][0].split([24, 6])
    wide = [nn.functional.pad(x.view(h, w, 16), (0, 0, 0, w)) for x, (h, w) in zip(levels, SHAPES, strict=True)]
    padded = {
        **inputs,
        "value": torch.cat([x.flatten(0, 1) for x in wide])[None],
        "key_padding_mask": torch.cat([torch.arange(2 * w).ge(w).repeat(h) for h, w in SHAPES.tolist()])[None],
        "spatial_shapes": torch.tensor([[4, 12], [2, 6]]),
        "level_start_index": torch.tensor([0, 48]),
        "valid_ratios": torch.tensor([[[0.5, 1.0], [0.5, 1.0]]]),
    }
    for alone, in_batch in zip(decoder(**inputs), decoder(**padded), strict=True):
        assert_close(in_batch, alone)
    seen = []
    handle = decoder.ref_point_head.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    decoder.train()(**padded)
    handle.remove()
    boxes = inputs["reference_points"] * torch.tensor([0.5, 1.0, 0.5, 1.0])
    assert_close(seen[0], get_sine_pos_embed(boxes, 8))


def test_the_encoder_ignores_what_is_padded():
    torch.manual_seed(0)
    encoder = randomize(DeformableTransformerEncoder(**SIZES)).eval()
    mask = padding_mask()
    tokens, positions = torch.randn(2, TOKENS, 16), torch.randn(2, TOKENS, 16)
    arguments = {
        "query_pos": positions,
        "query_key_padding_mask": mask,
        "reference_points": torch.rand(2, TOKENS, 2, 2),
    }
    result = encoder(tokens, **arguments, **GEOMETRY)
    changed = encoder(tokens.masked_fill(mask[..., None], 100.0), **arguments, **GEOMETRY)
    assert_close(result[~mask], changed[~mask])


def test_calls_with_detrex_s_further_keywords_are_accepted():
    encoder, decoder = DeformableTransformerEncoder(**SIZES), make_decoder()
    tokens = torch.randn(2, TOKENS, 16)
    encoder(
        query=tokens, key=None, value=None, query_pos=tokens, query_key_padding_mask=None,
        reference_points=torch.rand(2, TOKENS, 2, 2), valid_ratios=torch.ones(2, 2, 2), **GEOMETRY,
    )  # fmt: skip
    inputs = decoder_inputs()
    decoder(**inputs, key=inputs["value"], query_pos=None, attn_masks=None)
