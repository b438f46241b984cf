"""Deformable DETR and Align-DETR against detrex's: losses, gradients, our decoder in theirs. Skipped without detrex."""

import pytest
import torch
from detectron2.config import instantiate
from torch import Tensor, nn

from layers_diffu_detr.bbox_embedd import build_ref_point_head
from layers_diffu_detr.transformer import DeformableTransformerDecoder
from tests.detection import image
from tests.detrex_checkout import tiny_detrex_config
from tests.golden import fill
from tests.tiny_models import tiny_config

SALT = 5
FAMILIES = {"deformable_detr_r50": "deformable_detr", "aligndetr_r50": "align_detr"}


def detrex_model(name: str) -> nn.Module:
    """detrex's model without dropout, as its configs of the published row set it."""
    config = tiny_detrex_config(FAMILIES[name], name)
    for part in (config.transformer.encoder, config.transformer.decoder):
        part.attn_dropout = part.ffn_dropout = 0.0
    if name == "deformable_detr_r50":
        config.update(with_box_refine=True, as_two_stage=True)
        config.criterion.num_classes = 7
    else:
        config.dn_number = 0  # its denoising queries are random
        config.criterion.update(match_num=[2, 2, 1], tau=1.5)
    return fill(instantiate(config), SALT)


def our_model(name: str) -> nn.Module:
    config = tiny_config(name)
    for part in (config.transformer.encoder, config.transformer.decoder):
        part.attn_dropout = part.ffn_dropout = 0.0
    if "dn_number" in config:
        config.dn_number = 0
    return fill(instantiate(config), SALT)


@pytest.fixture
def without_cuda(monkeypatch):
    """Align-DETR's criterion moves zeros to the GPU by name."""
    to = Tensor.to
    monkeypatch.setattr(
        Tensor, "to", lambda self, *args, **kw: self if args[:1] == ("cuda",) else to(self, *args, **kw)
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_losses_and_gradients_of_a_padded_batch_equal_those_of_detrex(name: str, without_cuda):
    inputs = [image(96, 128, 0, count=4), image(128, 101, 1, count=2)]
    theirs, ours = detrex_model(name).train(), our_model(name).train()
    expected, losses = theirs(inputs), ours(inputs)
    expected = {key: expected[key].squeeze() for key in losses}
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-5)
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    gradients = {key: p.grad for key, p in theirs.named_parameters() if p.grad is not None}
    for key, parameter in ours.named_parameters():
        if key in gradients:
            scale = gradients[key].abs().max().clamp(min=1e-9)
            torch.testing.assert_close(parameter.grad / scale, gradients[key] / scale, rtol=0, atol=1e-4, msg=key)
        else:
            assert not parameter.grad.any(), key


@pytest.mark.parametrize("name", FAMILIES)
def test_our_decoder_stands_in_for_detrex_own(name: str):
    theirs, mixed = detrex_model(name).eval(), detrex_model(name)
    parts = {}
    if name == "aligndetr_r50":
        parts = {"norm": nn.LayerNorm(256), "ref_point_head": build_ref_point_head(256)}
    decoder = DeformableTransformerDecoder(feedforward_dim=64, num_layers=2, **parts)
    decoder.class_embed, decoder.bbox_embed = mixed.class_embed, mixed.bbox_embed
    mixed.transformer.decoder = decoder
    mixed.load_state_dict(theirs.state_dict())  # strict: key for key
    with torch.no_grad():
        (expected,), (actual,) = theirs([image(96, 128, 0)]), mixed.eval()([image(96, 128, 0)])
    expected, actual = expected["instances"], actual["instances"]
    torch.testing.assert_close(actual.scores, expected.scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(actual.pred_boxes.tensor, expected.pred_boxes.tensor, rtol=0, atol=1e-2)
    torch.testing.assert_close(actual.pred_classes, expected.pred_classes)
