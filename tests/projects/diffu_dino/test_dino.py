"""What DiffuDINO and DINO add: denoising queries."""

import pytest
import torch
from detectron2.config import instantiate
from torch.testing import assert_close

from tests.support.detection import image, train_and_evaluate
from tests.support.golden import fill
from tests.support.tiny_models import tiny_config

MODELS = ("dino_r50", "diffu_dino_r50")
QUERIES, CLASSES = 30, 7


def build(name, **overrides):
    return fill(instantiate(tiny_config(name, **overrides)), salt=1).eval()


@pytest.fixture(scope="module")
def models():
    return {name: build(name) for name in MODELS}


@pytest.mark.parametrize("name", MODELS)
def test_denoising_queries_do_not_reach_the_matching_ones(models, name):
    """The matching queries are decoded as they would be without denoising queries before them."""
    model = models[name]
    inputs = [image(64, 96, 0, count=3), image(64, 96, 1, count=1)]
    with torch.no_grad():
        memory = model.encode(model.preprocess(inputs))
        proposals = model.transformer.propose(memory, QUERIES)
        torch.manual_seed(0)
        queries = model.prepare_queries(memory, proposals, model.prepare_targets(inputs))
        assert queries.dn_metas["single_padding"] == 6 and queries.content.shape[1] == 33 * 6 + QUERIES
        outputs, _ = model.decode(memory, queries)
        queries.content, queries.boxes = queries.content[:, -QUERIES:], queries.boxes[:, -QUERIES:]
        queries.attn_mask = queries.dn_metas = None
        alone, dn_metas = model.decode(memory, queries)
    assert dn_metas is None
    for layer, expected in zip([outputs, *outputs["aux_outputs"]], [alone, *alone["aux_outputs"]], strict=True):
        assert layer["pred_boxes"].shape == (2, QUERIES, 4)
        assert_close(layer["pred_logits"], expected["pred_logits"], rtol=1e-4, atol=1e-4)
        assert_close(layer["pred_boxes"], expected["pred_boxes"], rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_decoding_returns_the_denoising_predictions_and_leaves_its_arguments_alone(models, name):
    model = models[name]
    inputs = [image(64, 96, 0, count=3), image(64, 96, 1, count=1)]
    memory = model.encode(model.preprocess(inputs))
    proposals = model.transformer.propose(memory, QUERIES)
    queries = model.prepare_queries(memory, proposals, model.prepare_targets(inputs))
    before = dict(queries.dn_metas)
    _, dn_metas = model.decode(memory, queries)
    assert queries.dn_metas == before and dn_metas.items() >= before.items()
    predictions = dn_metas["output_known_lbs_bboxes"]
    for layer in (predictions, *predictions["aux_outputs"]):
        assert layer["pred_logits"].shape == (2, 33 * 6, CLASSES) and layer["pred_boxes"].shape == (2, 33 * 6, 4)


def test_denoising_can_be_turned_off(models):
    model = build("diffu_dino_r50", dn_number=0)
    losses = train_and_evaluate(model, [2, 1])
    assert losses["loss_class_dn"] == 0 and losses["loss_class"] > 0


def test_the_label_embedding_has_the_released_size(models):
    assert models["dino_r50"].label_enc.weight.shape == (CLASSES, 256)
    assert models["diffu_dino_r50"].label_enc.weight.shape == (CLASSES + 1, 256)
