"""DINO, Deformable DETR and Align-DETR against detrex's, and our layers inside detrex's. Skipped without detrex."""

import pytest
import torch
from detectron2.config import instantiate
from torch import Tensor, nn

from layers_diffu_detr.bbox_embedd import LookForwardOnce, build_ref_point_head
from layers_diffu_detr.transformer import DeformableTransformerDecoder, DeformableTransformerEncoder
from tests.support.detection import assert_same_detections, image
from tests.support.detrex_checkout import tiny_detrex_config
from tests.support.golden import fill
from tests.support.tiny_models import tiny_config

SALT = 5
FAMILIES = {"dino_r50": "dino", "deformable_detr_r50": "deformable_detr", "aligndetr_r50": "align_detr"}


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
    if name == "aligndetr_r50":
        config.criterion.update(match_num=[2, 2, 1], tau=1.5)
    return fill(instantiate(config), SALT)


def our_model(name: str) -> nn.Module:
    config = tiny_config(name)
    for part in (config.transformer.encoder, config.transformer.decoder):
        part.attn_dropout = part.ffn_dropout = 0.0
    if "dn_number" in config:
        config.dn_number = 0
    return fill(instantiate(config), SALT)


def with_our_layers(name: str) -> nn.Module:
    """detrex's model whose encoder and decoder are ours, with the weights of `detrex_model`."""
    theirs, model = detrex_model(name), detrex_model(name)
    kind = {"norm": nn.LayerNorm(256), "ref_point_head": build_ref_point_head(256)}
    if name == "deformable_detr_r50":
        kind = {"look_forward": LookForwardOnce()}
    decoder = DeformableTransformerDecoder(feedforward_dim=64, num_layers=2, **kind)
    decoder.class_embed, decoder.bbox_embed = model.class_embed, model.bbox_embed
    model.transformer.decoder = decoder
    model.transformer.encoder = DeformableTransformerEncoder(feedforward_dim=64, num_layers=1)
    model.load_state_dict(theirs.state_dict())  # strict: key for key
    return model


@pytest.fixture
def without_cuda(monkeypatch):
    """detrex's criteria move zeros to the GPU by name."""
    to = Tensor.to
    monkeypatch.setattr(
        Tensor, "to", lambda self, *args, **kw: self if args[:1] == ("cuda",) else to(self, *args, **kw)
    )


@pytest.mark.parametrize("ours", [our_model, with_our_layers])
@pytest.mark.parametrize("name", FAMILIES)
def test_losses_and_gradients_of_a_padded_batch_equal_those_of_detrex(name: str, ours, without_cuda):
    inputs = [image(96, 128, 0, count=4), image(128, 101, 1, count=2)]
    theirs, ours = detrex_model(name).train(), ours(name).train()
    expected, losses = theirs(inputs), ours(inputs)
    expected = {key: expected[key].squeeze() for key in losses}
    torch.testing.assert_close({key: loss.squeeze() for key, loss in losses.items()}, expected, rtol=1e-4, atol=1e-5)
    sum(losses.values()).sum().backward()
    sum(expected.values()).backward()
    gradients = {key: p.grad for key, p in theirs.named_parameters() if p.grad is not None}
    for key, parameter in ours.named_parameters():
        if key in gradients:
            scale = gradients[key].abs().max().clamp(min=1e-9)
            torch.testing.assert_close(parameter.grad / scale, gradients[key] / scale, rtol=0, atol=1e-4, msg=key)
        else:
            assert parameter.grad is None or not parameter.grad.any(), key


@pytest.mark.parametrize("ours", [our_model, with_our_layers])
@pytest.mark.parametrize("name", FAMILIES)
def test_detections_equal_those_of_detrex(name: str, ours):
    theirs, ours = detrex_model(name).eval(), ours(name).eval()
    with torch.no_grad():
        (expected,), (actual,) = theirs([image(96, 128, 0)]), ours([image(96, 128, 0)])
    assert_same_detections(actual["instances"], expected["instances"])
