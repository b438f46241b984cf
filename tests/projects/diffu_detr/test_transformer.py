"""Memory and proposals: padding changes nothing, which tokens are proposed, where their boxes are."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from layers_diffu_detr.bbox_embedd import build_box_head, build_class_head, build_ref_point_head
from layers_diffu_detr.conditioning import ScaleShiftConditioning
from layers_diffu_detr.ldm.timestep import TimestepEmbedding
from layers_diffu_detr.position_embedding import PositionEmbeddingSine, get_sine_pos_embed
from layers_diffu_detr.transformer import DeformableTransformerDecoder, DeformableTransformerEncoder
from projects.diffu_detr.modeling.proposals import BestClassScore, ChosenTokens
from projects.diffu_detr.modeling.transformer import DeformableTransformer, build_pos_trans

DIM, CLASSES = 16, 3
SIZES = {"embed_dim": DIM, "num_heads": 2, "feedforward_dim": 32, "num_layers": 2, "num_feature_levels": 2}
POSITIONS = PositionEmbeddingSine(num_pos_feats=DIM // 2, normalize=True, offset=-0.5)


def make_transformer(conditioning=None, ref_point_head=True, **overrides):
    torch.manual_seed(0)
    head = build_ref_point_head(DIM) if ref_point_head else None
    decoder = DeformableTransformerDecoder(**SIZES, conditioning=conditioning, ref_point_head=head)
    slots = {"ranking": BestClassScore(), "supervision": ChosenTokens(), **overrides}
    transformer = DeformableTransformer(DeformableTransformerEncoder(**SIZES), decoder, num_feature_levels=2, **slots)
    decoder.class_embed = nn.ModuleList(build_class_head(DIM, CLASSES) for _ in range(3))
    decoder.bbox_embed = nn.ModuleList(build_box_head(DIM) for _ in range(3))
    with torch.no_grad():
        for parameter in transformer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return transformer.eval()


@pytest.fixture(scope="module")
def transformer():
    return make_transformer()


def maps(height, width, batch=1, seed=0):
    """Two levels and their valid sizes when nothing is padded."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [[height, width], [-(-height // 2), -(-width // 2)]]
    levels = [torch.randn(batch, DIM, *shape, generator=generator) for shape in shapes]
    return levels, [shapes] * batch


def padded(levels, valid_sizes, extra):
    """The same image twice: once more with garbage to the right and below."""
    levels = [nn.functional.pad(x, (0, extra, 0, extra), value=9.0) for x in levels]
    return levels, valid_sizes


def valid_tokens(memory):
    return memory.tokens[~memory.padding_mask] if memory.padding_mask is not None else memory.tokens.flatten(0, 1)


def test_memory_of_an_image_does_not_depend_on_its_padding(transformer):
    levels, sizes = maps(5, 7)
    alone = transformer.encode(levels, sizes, POSITIONS)
    garbage = transformer.encode(*padded(levels, sizes, extra=3), POSITIONS)
    assert alone.padding_mask is None and garbage.padding_mask.sum() == 8 * 10 + 6 * 7 - 5 * 7 - 3 * 4
    assert_close(valid_tokens(garbage), valid_tokens(alone), rtol=1e-4, atol=1e-5)
    assert_close(garbage.centres[~garbage.padding_mask], alone.centres[0])
    assert_close(garbage.valid_ratios[0], torch.tensor([[7 / 10, 5 / 8], [4 / 7, 3 / 6]]))


@pytest.mark.parametrize("num_queries", [6, 60])
def test_proposals_of_an_image_do_not_depend_on_its_padding_even_if_it_has_fewer_tokens_than_queries(
    transformer, num_queries
):
    levels, sizes = maps(5, 7)  # two levels, 35 + 12 tokens
    alone = transformer.propose(transformer.encode(levels, sizes, POSITIONS), num_queries)
    garbage = transformer.propose(transformer.encode(*padded(levels, sizes, 3), POSITIONS), num_queries)
    for name in ("features", "boxes"):
        assert getattr(alone, name).shape[:2] == (1, num_queries)
        assert_close(getattr(garbage, name), getattr(alone, name), rtol=1e-4, atol=1e-5)


def test_centres_and_sizes_of_proposals_by_hand():
    transformer = make_transformer()
    for parameter in transformer.decoder.bbox_embed[2].layers[-1].parameters():
        nn.init.zeros_(parameter)  # proposals then have their grid boxes
    memory = transformer.encode(*maps(2, 4), POSITIONS)
    fine = [[x / 8, y / 4, 0.05, 0.05] for y in (1, 3) for x in (1, 3, 5, 7)]
    coarse = [[x / 4, 1 / 2, 0.1, 0.1] for x in (1, 3)]
    assert_close(memory.centres[0], torch.tensor(fine + coarse)[:, :2])
    assert memory.levels.tolist() == [0] * 8 + [1] * 2
    boxes = transformer.propose(memory, 10).boxes[0]
    assert sorted([round(value, 4) for value in box] for box in boxes.tolist()) == sorted(fine + coarse)


def test_tokens_at_the_very_border_are_not_proposed(transformer):
    levels, sizes = maps(1, 60)  # the outer centres, 1/120 < 0.01 and 119/120 > 0.99, are too near
    memory = transformer.encode(levels, sizes, POSITIONS)
    proposals = transformer.propose(memory, 90)
    unusable = (proposals.boxes == 1).all(-1)
    assert unusable.sum() == 2
    assert proposals.features.isfinite().all() and proposals.boxes.isfinite().all()


def test_content_is_the_features_without_gradient_or_learned():
    transformer = make_transformer()
    memory = transformer.encode(*maps(5, 7, batch=2), POSITIONS)
    proposals = transformer.propose(memory, 6)
    content, positions = transformer.queries(memory, proposals)
    assert positions is None  # the decoder makes them
    assert_close(content, proposals.features)
    assert proposals.features.requires_grad and not content.requires_grad
    learned = make_transformer(tgt_embed=nn.Embedding(6, DIM))
    content, _ = learned.queries(memory, None)
    assert content.shape == (2, 6, DIM) and content.requires_grad
    assert_close(content[1], learned.tgt_embed.weight)


def test_content_and_positions_may_come_from_the_proposals_boxes():
    transformer = make_transformer(ref_point_head=False, pos_trans=build_pos_trans(DIM))
    memory = transformer.encode(*maps(5, 7, batch=2), POSITIONS)
    proposals = transformer.propose(memory, 6)
    content, positions = transformer.queries(memory, proposals)
    assert content.shape == positions.shape == (2, 6, DIM)
    cx, cy, w, h = proposals.boxes.detach().split(1, dim=-1)
    embedded = torch.cat(
        [get_sine_pos_embed(x, DIM // 2) for x in (torch.cat([cy, cx], -1), torch.cat([h, w], -1))], -1
    )
    expected = transformer.pos_trans_norm(transformer.pos_trans(embedded))
    assert_close(torch.cat([positions, content], dim=-1), expected)
    box_head = transformer.decoder.bbox_embed[2]
    assert torch.autograd.grad(content.sum(), box_head.layers[-1].bias, allow_unused=True) == (None,)
    states, _ = transformer.decode(memory, content, proposals.boxes, positions=positions)
    others, _ = transformer.decode(memory, content, proposals.boxes, positions=positions + 1)
    assert not torch.allclose(states, others, atol=1e-3)


def test_times_reach_the_decoder_embedded():
    transformer = make_transformer(ScaleShiftConditioning(DIM), time_embed=TimestepEmbedding(DIM))
    memory = transformer.encode(*maps(5, 7, batch=2), POSITIONS)
    content, boxes = torch.randn(2, 6, DIM), torch.rand(2, 6, 4)
    states, _ = transformer.decode(memory, content, boxes, torch.tensor([10, 90]))
    swapped, _ = transformer.decode(memory, content, boxes, torch.tensor([10, 11]))
    assert_close(states[:, 0], swapped[:, 0])
    assert not torch.allclose(states[:, 1], swapped[:, 1], atol=1e-3)


def test_a_time_embedding_needs_a_conditioned_decoder_and_the_reverse():
    with pytest.raises(ValueError, match="transformer.time_embed and transformer.decoder.conditioning"):
        make_transformer(time_embed=TimestepEmbedding(DIM))
    with pytest.raises(ValueError, match="transformer.time_embed and transformer.decoder.conditioning"):
        make_transformer(ScaleShiftConditioning(DIM))


def test_query_positions_and_content_have_one_source_each():
    with pytest.raises(ValueError, match="query positions come from transformer.pos_trans or"):
        make_transformer(pos_trans=build_pos_trans(DIM))
    with pytest.raises(ValueError, match="query positions come from transformer.pos_trans or"):
        make_transformer(ref_point_head=False)
    with pytest.raises(ValueError, match="content queries come from transformer.pos_trans or"):
        make_transformer(ref_point_head=False, pos_trans=build_pos_trans(DIM), tgt_embed=nn.Embedding(6, DIM))
