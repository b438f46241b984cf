"""Every model of the DETR family: what an image gets is its own; every number of ground truths trains and evaluates."""

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import BasicStem, ResNet

from tests.support.detection import assert_same_detections, detect, image, train_and_evaluate
from tests.support.golden import fill
from tests.support.tiny_models import tiny_config

pytestmark = pytest.mark.slow

BASELINES = ("deformable_detr_r50", "dino_r50", "aligndetr_r50")
DIFFUSION = ("diffu_detr_r50", "diffu_dino_r50", "diffu_aligndetr_r50")
MODELS = BASELINES + DIFFUSION
QUERIES = 30


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


MODELS_AND_STEPS = [(name, None) for name in BASELINES] + [(name, steps) for name in DIFFUSION for steps in (1, 3)]


# ---- an image's detections are its own ----


@pytest.mark.parametrize(("name", "num_steps"), MODELS_AND_STEPS)
def test_a_batch_gives_each_image_what_it_gives_alone_in_any_order(models, name, num_steps):
    # The first one has fewer tokens (4 · 5 + 2 · 2 + 1 + 1) than there are queries.
    inputs = [image(32, 40, 0), image(96, 64, 1), image(64, 128, 2), image(96, 64, 3)]
    alone = [detect(models[name], [each], num_steps)[0] for each in inputs]
    for order in ([0, 1, 2, 3], [2, 0, 3, 1], [3, 0]):
        together = detect(models[name], [inputs[i] for i in order], num_steps)
        for i, found in zip(order, together, strict=True):
            assert_same_detections(found, alone[i])


@pytest.mark.parametrize(("name", "num_steps"), MODELS_AND_STEPS)
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


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "counts",
    [[0, 3], [QUERIES + 5, 2], [QUERIES, 0], [QUERIES - 1, QUERIES + 1], [1]],
    ids=["none in one image", "more than queries", "exactly the queries", "one fewer and one more", "one"],
)
def test_any_number_of_ground_truths_trains_and_evaluates(models, name, counts):
    losses = train_and_evaluate(models[name], counts)
    wanted = {"loss_class", "loss_bbox", "loss_giou", "loss_bbox_0", "loss_class_dn", "loss_bbox_dn_0"}
    assert all(losses[key] > 0 for key in wanted & losses.keys())


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
    suffixes = ("", "_0", "_enc") + (("_dn", "_dn_0") if hasattr(models[name], "denoising") else ())
    expected = {kind + suffix for kind in kinds for suffix in suffixes}
    for counts in ([2, 1], [0, 0]):
        assert set(train_and_evaluate(models[name], counts)) == expected
