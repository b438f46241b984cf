"""The layers inside detrex's own DINO, and DINO against detrex's: skipped where detrex or its checkout is absent."""

import copy

import pytest
import torch
from detectron2.config import instantiate
from torch import Tensor, nn

from layers_diffu_detr.bbox_embedd import build_ref_point_head
from layers_diffu_detr.checkpoint import load_weights
from layers_diffu_detr.conditioning import ScaleShiftConditioning
from layers_diffu_detr.transformer import DeformableTransformerDecoder, DeformableTransformerEncoder
from tests.support.detrex_checkout import tiny_detrex_config
from tests.support.golden import fill, reference_images
from tests.support.tiny_models import tiny_model

SALT = 5
LEVEL_SIZES = ((12, 16), (6, 8), (3, 4), (2, 2))


def detrex_dino(**parts: nn.Module) -> nn.Module:
    """detrex's DINO, its transformer's `encoder` or `decoder` ours where given; weights made from their names."""
    model = instantiate(tiny_detrex_config("dino", "dino_r50"))
    for part, module in parts.items():
        setattr(model.transformer, part, module)
    model.transformer.decoder.class_embed, model.transformer.decoder.bbox_embed = model.class_embed, model.bbox_embed
    return fill(model, SALT).eval()


def our_decoder(conditioning: nn.Module | None = None) -> DeformableTransformerDecoder:
    return DeformableTransformerDecoder(
        feedforward_dim=64,
        num_layers=2,
        conditioning=conditioning,
        norm=nn.LayerNorm(256),
        ref_point_head=build_ref_point_head(256),
    )


def transformer_inputs() -> dict:
    """Two images, the second padded, with 4 denoising queries before the others."""
    generator = torch.Generator().manual_seed(0)
    features, masks, positions = [], [], []
    for height, width in LEVEL_SIZES:
        features.append(torch.randn(2, 256, height, width, generator=generator))
        positions.append(torch.randn(2, 256, height, width, generator=generator))
        mask = torch.zeros(2, height, width, dtype=torch.bool)
        mask[1, height - height // 3 :] = mask[1, :, width - width // 4 :] = True
        masks.append(mask)
    attn_mask = torch.zeros(34, 34, dtype=torch.bool)
    attn_mask[4:, :4] = True
    queries = torch.randn(2, 4, 256, generator=generator), torch.randn(2, 4, 4, generator=generator)
    return dict(
        multi_level_feats=features,
        multi_level_masks=masks,
        multi_level_pos_embeds=positions,
        query_embed=queries,
        attn_masks=[attn_mask, None],
    )


def run(model: nn.Module, **kwargs) -> tuple[Tensor, ...]:
    """States, first references and those between layers, proposals' features and boxes, of detrex's transformer.

    detrex's decoder also returns the boxes after the last layer, which its models do not read. In training mode (there
    is no dropout): in evaluation our decoder's query positions ignore padding; detrex's meta-architecture knows none.
    """
    with torch.no_grad():
        states, first, refined, *proposals = model.transformer.train()(**transformer_inputs(), **kwargs)
    return states, first, refined[: len(states) - 1], *proposals


@pytest.mark.parametrize("parts", [{"decoder"}, {"encoder"}, {"encoder", "decoder"}], ids="+".join)
def test_layers_stand_in_for_detrex_own(parts: set[str]):
    ours = {
        "decoder": our_decoder(),
        "encoder": DeformableTransformerEncoder(feedforward_dim=64, num_layers=1),
    }
    theirs, mixed = detrex_dino(), detrex_dino(**{part: ours[part] for part in sorted(parts)})
    mixed.load_state_dict(theirs.state_dict())  # strict: key for key
    torch.testing.assert_close(run(mixed), run(theirs), rtol=1e-4, atol=1e-5)


def test_conditioned_decoder_runs_without_a_time_embedding():
    plain, conditioned = detrex_dino(), detrex_dino(decoder=our_decoder(ScaleShiftConditioning()))
    torch.testing.assert_close(run(conditioned), run(plain), rtol=1e-4, atol=1e-5)


def test_time_embedding_reaches_the_decoder():
    model = detrex_dino(decoder=our_decoder(ScaleShiftConditioning()))
    without, early, late = run(model), *(run(model, time_embed=torch.full((2, 1024), value)) for value in (0.1, 1.0))
    torch.testing.assert_close(early[3:], without[3:])  # proposals come before the decoder
    assert all((a - b).abs().max() > 1e-2 for a, b in ((early[0], without[0]), (early[0], late[0])))


def test_conditioned_decoder_equals_that_of_diffu_dino():
    ours = fill(tiny_model("diffu_dino_r50"), SALT)
    theirs = detrex_dino(decoder=our_decoder(ScaleShiftConditioning()))
    ours.transformer.train(), theirs.transformer.train()
    theirs.transformer.learnt_init_query = False  # content queries are the proposals' features
    inputs, t = transformer_inputs(), torch.tensor([99, 33])
    with torch.no_grad():
        time_embed = ours.transformer.time_embed(t)
        inputs.update(query_embed=(None, None), attn_masks=[None, None])
        states, first, refined, *_ = theirs.transformer(**inputs, time_embed=time_embed)
        positions = iter(inputs["multi_level_pos_embeds"])
        sizes = [[[int((~m[:, 0]).sum()), int((~m[0]).sum())] for m in level] for level in inputs["multi_level_masks"]]
        memory = ours.transformer.encode(
            inputs["multi_level_feats"],
            [list(of_image) for of_image in zip(*sizes, strict=True)],
            lambda mask: next(positions),
        )
        proposals = ours.transformer.propose(memory, ours.num_boxes)
        content, _ = ours.transformer.queries(memory, proposals)
        our_states, our_refined = ours.transformer.decode(memory, content, proposals.boxes, t)
    torch.testing.assert_close(proposals.boxes, first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(our_states, states, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(our_refined, refined, rtol=1e-4, atol=1e-5)


@pytest.fixture
def dinos() -> tuple[nn.Module, nn.Module]:
    """detrex's DINO and ours, with detrex's weights."""
    theirs, ours = detrex_dino(), tiny_model("dino_r50")
    report = load_weights(ours, theirs.state_dict())
    assert report.initialised == [] and set(report.ignored) <= set(theirs.state_dict())
    return theirs, ours


def test_detections_equal_those_of_detrex(dinos):
    theirs, ours = dinos
    for inputs in reference_images("dino"):
        with torch.no_grad():
            (expected,), (actual,) = theirs([copy.copy(inputs)]), ours([inputs])
        expected, actual = expected["instances"], actual["instances"]
        torch.testing.assert_close(actual.scores, expected.scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(actual.pred_boxes.tensor, expected.pred_boxes.tensor, rtol=0, atol=1e-2)
        torch.testing.assert_close(actual.pred_classes, expected.pred_classes)


def test_detrex_loads_our_weights(dinos):
    theirs, ours = dinos
    theirs.load_state_dict(ours.state_dict())
