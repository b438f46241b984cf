"""A further group of queries in training, of which several answer each target."""

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from torch.testing import assert_close

from layers_diffu_detr.ldm.passes import QueryBoxes
from projects.diffu_base.config.distinct import use_distinct_queries
from projects.diffu_base.modeling.criterion import gather_pairs
from projects.diffu_detr.modeling.queries import OneToManyQueries, Queries
from tests.support.detection import assert_same_detections, detect, image, train_and_evaluate
from tests.support.golden import fill
from tests.support.tiny_models import tiny_config

MATCHES, PROPOSALS = 3, 20
START = QueryBoxes(torch.zeros(1, 3, 4))
WEIGHTS = {f"loss_{kind}_many": f"${{.loss_{kind}}}" for kind in ("class", "bbox", "giou")}
MANY = {f"loss_{kind}_many{layer}" for kind in ("class", "bbox", "giou") for layer in ("", "_0")}


def config(name, matches=MATCHES, distinct=False, **overrides):
    model = tiny_config(name, embed_dim=64, num_queries=PROPOSALS, **overrides)
    for part in (model.transformer.encoder, model.transformer.decoder):
        part.update(attn_dropout=0.0, ffn_dropout=0.0)  # further queries would change what is dropped
    if distinct:
        use_distinct_queries(model, most=8, iou_threshold=0.01)
    if matches:
        model.auxiliary_queries = L(OneToManyQueries)(matches=matches)
        model.criterion.weight_dict.update(WEIGHTS)
    return model


def build(*args, **kwargs):
    return fill(instantiate(config(*args, **kwargs)), salt=1)


def batch():
    return [image(64, 96, 0, count=3), image(96, 64, 1, count=1)]


def losses_of(model, inputs=None):
    torch.manual_seed(0)
    return model.train()(inputs or batch())


# ---- the group ----


@pytest.mark.parametrize("denoising", [0, 4])
def test_the_group_sees_itself_alone(denoising):
    others = denoising + 3
    mask = torch.rand(others, others) < 0.5 if denoising else None
    metas = {"dn_num": 2, "single_padding": 2} if denoising else None
    contents, boxes = torch.zeros(1, others, 8), torch.rand(1, others, 4)
    queries = Queries(START, contents, boxes, None, attn_mask=mask, dn_metas=metas)
    group = torch.ones(1, 2, 8), torch.rand(1, 2, 4)
    together = OneToManyQueries()(queries, *group, None)
    assert together.sizes == [denoising, 2, 3] and queries.sizes == [denoising, 0, 3]
    inside = torch.arange(others + 2).sub(denoising)
    inside = (inside >= 0) & (inside < 2)
    assert not together.attn_mask[inside][:, inside].any()
    assert together.attn_mask[inside][:, ~inside].all() and together.attn_mask[~inside][:, inside].all()
    expected = torch.zeros(others, others, dtype=torch.bool) if mask is None else mask
    assert torch.equal(together.attn_mask[~inside][:, ~inside], expected)
    assert_close(together.boxes[:, inside], group[1])
    assert_close(together.boxes[:, ~inside], queries.boxes)
    assert (together.content[:, inside] == 1).all() and (together.content[:, ~inside] == 0).all()


def test_every_query_of_the_group_counts_where_others_do_not():
    valid = torch.tensor([[True, False, False]])
    contents = torch.zeros(1, 3, 8)
    queries = Queries(START, contents, torch.rand(1, 3, 4), None, valid=valid, positions=contents)
    together = OneToManyQueries()(queries, torch.ones(1, 2, 8), torch.rand(1, 2, 4), torch.ones(1, 2, 8))
    assert together.valid.tolist() == [[True, True, True, False, False]]
    assert together.positions[0, :, 0].tolist() == [1, 1, 0, 0, 0]


def test_a_target_without_a_match_is_refused():
    with pytest.raises(ValueError, match="auxiliary_queries.matches is 0; it must be at least 1"):
        OneToManyQueries(0)


# ---- whole models ----


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("deformable_detr_r50", {}),
        ("dino_r50", {"dn_number": 4}),
        ("diffu_aligndetr_r50", {"dn_number": 4, "distinct": True}),
        ("diffu_dino_r50", {"dn_number": 0, "distinct": True}),
        ("diffu_detr_r50", {}),
    ],
)
def test_the_group_adds_its_losses_and_leaves_all_others(name, settings):
    """The main queries, of which some may not count, are decoded and matched as without the group."""
    losses = losses_of(build(name, **settings))
    expected = losses_of(build(name, **settings, matches=0))
    assert losses.keys() - expected.keys() == MANY and all(losses[key] > 0 for key in MANY)
    for key, loss in expected.items():
        assert_close(loss, losses[key], rtol=1e-4, atol=1e-5, msg=lambda m, key=key: f"{key}: {m}")


def test_every_parameter_is_trained_with_and_without_objects():
    model = build("diffu_dino_r50", distinct=True, dn_number=4)
    model.sampler.times = [40, 20, 0]
    train_and_evaluate(model, (3, 0))
    losses = train_and_evaluate(model, (0, 0))
    assert all(losses[f"loss_{kind}_many"] == 0 for kind in ("bbox", "giou"))


def test_inference_has_no_such_group():
    model = build("dino_r50").eval()
    seen = []
    model.transformer.decoder.register_forward_hook(
        lambda _, args, kwargs, out: seen.append(out[0].shape[2]), with_kwargs=True
    )
    found, expected = detect(model, batch()), detect(build("dino_r50", matches=0).eval(), batch())
    assert seen == [PROPOSALS]
    for each, other in zip(found, expected, strict=True):
        assert_same_detections(each, other)


def test_several_queries_of_the_group_answer_each_target():
    model = build("dino_r50", dn_number=0).train()
    calls = []
    match_layers = model.criterion.matcher.match_layers
    model.criterion.matcher.match_layers = lambda *args: calls.append((args, match_layers(*args))) or calls[-1][1]
    model(batch())
    ((layers, matches), indices) = calls[0]
    assert matches == [1, 1, 1, 3, 3]  # the last layer, the other one, the encoder; the group in both layers
    for (predictions, targets), of_layer, number in zip(layers, indices, matches, strict=True):
        assert predictions["pred_logits"].shape[1] == PROPOSALS
        for (queries, matched), target in zip(of_layer, targets, strict=True):
            assert matched.bincount().tolist() == [number] * len(target["labels"])
            assert len(queries.unique()) == len(queries)


def test_the_group_s_losses_are_means_over_its_matches():
    model = build("dino_r50", dn_number=0)
    weights = model.criterion.weight_dict
    seen = {}
    model.criterion.register_forward_hook(lambda criterion, args, losses: seen.update(outputs=args[0], targets=args[1]))
    losses = losses_of(model)
    many, targets = seen["outputs"]["one_to_many"], seen["targets"]
    (indices,) = model.criterion.matcher.match_layers([(many, targets)], [MATCHES])
    pairs = gather_pairs(many["pred_boxes"], targets, indices)
    expected = (pairs.pred_boxes - pairs.target_boxes).abs().sum() / (MATCHES * 4)  # four targets in the batch
    assert_close(losses["loss_bbox_many"], expected * weights["loss_bbox_many"])


def test_a_criterion_without_weights_for_the_group_is_refused():
    model = instantiate(config("dino_r50"))
    model.criterion.weight_dict = {k: v for k, v in model.criterion.weight_dict.items() if "many" not in k}
    with pytest.raises(ValueError, match=r"no weight for \['loss_bbox_many'"):
        losses_of(model)
