"""DiffuDINO and DINO as a whole: what an image gets is its own; every number of ground truths trains and evaluates."""

import copy

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import BasicStem, ResNet
from detectron2.structures import Boxes, Instances
from torch.testing import assert_close

from tests.golden import fill
from tests.tiny_models import tiny_config

MODELS = ("dino_r50", "diffu_dino_r50")
QUERIES, CLASSES = 30, 7


def build(name, **overrides):
    return fill(instantiate(tiny_config(name, **overrides)), salt=1).eval()


def resnet(name):
    """The model on a real ResNet-18, whose convolutions see padding."""
    backbone = L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=64, norm="FrozenBN"),
        stages=L(ResNet.make_default_stages)(depth=18, norm="FrozenBN"),
        out_features=["res3", "res4", "res5"],
    )
    config = tiny_config(name, backbone=backbone)
    config.neck.input_shapes = {f"res{i}": ShapeSpec(channels=c) for i, c in ((3, 128), (4, 256), (5, 512))}
    return fill(instantiate(config), salt=1).eval()


@pytest.fixture(scope="module")
def models():
    return {name: build(name) for name in MODELS}


@pytest.fixture(scope="module")
def single_class_models():
    return {name: build(name, num_classes=1) for name in MODELS}


def image(height, width, image_id, count=None, num_classes=CLASSES):
    """An input of noise; with `count` ground truths."""
    generator = torch.Generator().manual_seed(image_id)
    pixels = torch.randint(256, (3, height, width), dtype=torch.uint8, generator=generator)
    inputs = {"image": pixels, "height": height, "width": width, "image_id": image_id}
    if count is not None:
        corners = torch.rand(count, 2, 2, generator=generator).sort(1).values * torch.tensor([width, height])
        classes = torch.randint(num_classes, (count,), generator=generator)
        inputs["instances"] = Instances((height, width), gt_boxes=Boxes(corners.flatten(1)), gt_classes=classes)
    return inputs


@torch.no_grad()
def detect(model, inputs, num_steps=None, seed=0):
    """Detections per image, by the sampler's seed and, for diffusion, `num_steps`; the model stays as it was."""
    sampler, model.sampler = model.sampler, copy.copy(model.sampler)
    try:
        if model.diffusion is not None:
            model.sampler.num_steps, model.sampler.seed = num_steps or 3, seed
        return [result["instances"] for result in model(inputs)]
    finally:
        model.sampler = sampler


def assert_same_detections(actual, expected):
    """Equal up to rounding; where scores are equal up to rounding, the order is free."""
    assert len(actual) == len(expected) > 0
    assert_close(actual.scores, expected.scores, rtol=0, atol=1e-5)
    same_score = (actual.scores[:, None] - expected.scores).abs() < 1e-5
    same_box = (actual.pred_boxes.tensor[:, None] - expected.pred_boxes.tensor).abs().amax(-1) < 1e-2
    same = same_score & same_box & (actual.pred_classes[:, None] == expected.pred_classes)
    assert same.any(0).all() and same.any(1).all()


SIZES_AND_STEPS = [("dino_r50", None), ("diffu_dino_r50", 1), ("diffu_dino_r50", 3)]


# ---- an image's detections are its own ----


@pytest.mark.parametrize(("name", "num_steps"), SIZES_AND_STEPS)
def test_a_batch_gives_each_image_what_it_gives_alone_in_any_order(models, name, num_steps):
    # The first one has fewer tokens (4 · 5 + 2 · 2 + 1 + 1) than there are queries.
    inputs = [image(32, 40, 0), image(96, 64, 1), image(64, 128, 2), image(96, 64, 3)]
    alone = [detect(models[name], [each], num_steps)[0] for each in inputs]
    for order in ([0, 1, 2, 3], [2, 0, 3, 1], [3, 0]):
        together = detect(models[name], [inputs[i] for i in order], num_steps)
        for i, found in zip(order, together, strict=True):
            assert_same_detections(found, alone[i])


@pytest.mark.parametrize(("name", "num_steps"), SIZES_AND_STEPS)
def test_padding_changes_nothing_with_a_real_backbone(resnets, name, num_steps):
    small, large = image(50, 71, 0), image(131, 97, 1)
    together = detect(resnets[name], [small, large], num_steps)
    for inputs, found in zip((small, large), together, strict=True):
        assert_same_detections(found, detect(resnets[name], [inputs], num_steps)[0])


@pytest.fixture(scope="module")
def resnets():
    return {name: resnet(name) for name in MODELS}


def test_steps_and_seed_matter(models):
    """What the tests above compare is not trivially the same."""
    model, inputs = models["diffu_dino_r50"], [image(64, 96, 0)]
    results = [detect(model, inputs, *setting)[0].scores for setting in ((1, 0), (3, 0), (3, 1))]
    for i, j in ((0, 1), (1, 2)):
        assert len(results[i]) != len(results[j]) or not torch.allclose(results[i], results[j], atol=1e-4)


# ---- numbers of ground truths ----


def train_and_evaluate(model, counts, num_classes=CLASSES):
    """One training step's losses and gradients, then detections, all checked to be finite and complete."""
    sizes = [(64, 96), (96, 64), (64, 64)]
    inputs = [image(*size, i, count, num_classes) for i, (size, count) in enumerate(zip(sizes, counts, strict=False))]
    torch.manual_seed(0)
    model.train()
    try:
        losses = model(inputs)
        assert all(loss.isfinite() for loss in losses.values()), losses
        sum(losses.values()).backward()
        missing = [name for name, p in model.named_parameters() if p.grad is None]
        wrong = [name for name, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        assert not missing and not wrong
    finally:
        model.zero_grad()
        model.eval()
    for found in detect(model, inputs):
        assert len(found) > 0 and found.scores.isfinite().all() and found.pred_boxes.tensor.isfinite().all()
    return losses


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "counts",
    [[0, 3], [QUERIES + 5, 2], [QUERIES, 0], [QUERIES - 1, QUERIES + 1], [1]],
    ids=["none in one image", "more than queries", "exactly the queries", "one fewer and one more", "one"],
)
def test_any_number_of_ground_truths_trains_and_evaluates(models, name, counts):
    losses = train_and_evaluate(models[name], counts)
    assert all(losses[key] > 0 for key in ("loss_class", "loss_bbox", "loss_giou", "loss_class_dn", "loss_bbox_dn_0"))


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_without_ground_truths_trains_with_a_gradient_for_every_parameter(models, name):
    losses = train_and_evaluate(models[name], [0, 0])
    learnt = {key for key, loss in losses.items() if loss > 0}
    assert learnt == {"loss_class", "loss_class_0", "loss_class_enc"}  # that there is nothing


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("counts", [[4, 0], [0, 0], [QUERIES + 1, 3]])
def test_a_single_class_trains_and_evaluates(single_class_models, name, counts):
    train_and_evaluate(single_class_models[name], counts, num_classes=1)


@pytest.mark.parametrize("name", MODELS)
def test_losses_have_detrex_s_names_whether_or_not_there_are_ground_truths(models, name):
    kinds = ("loss_class", "loss_bbox", "loss_giou")
    expected = {kind + suffix for kind in kinds for suffix in ("", "_0", "_enc", "_dn", "_dn_0")}
    for counts in ([2, 1], [0, 0]):
        assert set(train_and_evaluate(models[name], counts)) == expected


# ---- denoising queries ----


@pytest.mark.parametrize("name", MODELS)
def test_denoising_queries_do_not_reach_the_matching_ones(models, name):
    """With them in front, the matching queries are decoded as if there were none."""
    model = models[name]
    inputs = [image(64, 96, 0, count=3), image(64, 96, 1, count=1)]
    with torch.no_grad():
        memory = model.encode(model.preprocess(inputs))
        proposals = model.transformer.propose(memory, QUERIES)
        torch.manual_seed(0)
        queries = model.prepare_queries(proposals, model.prepare_targets(inputs))
        assert queries.dn_metas["single_padding"] == 6 and queries.content.shape[1] == 33 * 6 + QUERIES
        outputs = model.decode(memory, queries)
        queries.content, queries.boxes = queries.content[:, -QUERIES:], queries.boxes[:, -QUERIES:]
        queries.attn_mask = queries.dn_metas = None
        alone = model.decode(memory, queries)
    for layer, expected in zip([outputs, *outputs["aux_outputs"]], [alone, *alone["aux_outputs"]], strict=True):
        assert layer["pred_boxes"].shape == (2, QUERIES, 4)
        assert_close(layer["pred_logits"], expected["pred_logits"], rtol=1e-4, atol=1e-4)
        assert_close(layer["pred_boxes"], expected["pred_boxes"], rtol=1e-4, atol=1e-4)


def test_denoising_can_be_turned_off(models):
    model = build("diffu_dino_r50", dn_number=0)
    losses = train_and_evaluate(model, [2, 1])
    assert losses["loss_class_dn"] == 0 and losses["loss_class"] > 0


def test_the_label_embedding_has_the_released_size(models):
    assert models["dino_r50"].label_enc.weight.shape == (CLASSES, 256)
    assert models["diffu_dino_r50"].label_enc.weight.shape == (CLASSES + 1, 256)
