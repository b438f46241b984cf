"""With masks and without: images are independent of each other, and every number of targets trains and evaluates."""

import copy

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.modeling.backbone import ResNet
from detectron2.modeling.backbone.resnet import BasicBlock

from tests.projects.diffusion_inst.tiny import CLASSES, PROPOSALS, load_model, shrink
from tests.support.detection import assert_same_detections, assert_same_with_masks, detect, image, train_and_evaluate
from tests.support.golden import fill

NAMES = ("models/diffusion_det_r50", "models/diffusion_inst_r50")


def build(name, **overrides):
    return fill(instantiate(shrink(load_model(name), **overrides)), salt=1).eval()


def resnet(name):
    """The model on a small ResNet and its feature pyramid, whose convolutions see padding."""
    config = load_model(name)
    pyramid = config.backbone
    pyramid.bottom_up.stem.out_channels = 8
    pyramid.bottom_up.stages = [
        L(ResNet.make_stage)(
            block_class=BasicBlock, num_blocks=1, in_channels=i, out_channels=o, stride_per_block=[s], norm="FrozenBN"
        )
        for i, o, s in ((8, 8, 1), (8, 16, 2), (16, 24, 2), (24, 32, 2))
    ]
    return fill(instantiate(shrink(config, backbone=copy.deepcopy(pyramid))), salt=1).eval()


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return build(request.param)


@pytest.fixture(scope="module", params=NAMES)
def resnet_model(request):
    return resnet(request.param)


@pytest.fixture(scope="module")
def inst():
    return build(NAMES[1])


def assert_same(actual, expected):
    compare = assert_same_with_masks if expected.has("pred_masks") else assert_same_detections
    compare(actual, expected)


# ---- an image's detections are its own ----


@pytest.mark.parametrize("num_steps", [1, 4])
def test_a_batch_of_different_sizes_gives_each_image_what_it_gives_alone(model, num_steps):
    inputs = [image(32, 40, 0), image(96, 64, 1), image(64, 128, 2), image(96, 64, 3)]
    alone = [detect(model, [each], num_steps)[0] for each in inputs]
    for order in ([0, 1, 2, 3], [2, 0, 3, 1], [3, 0]):
        together = detect(model, [inputs[i] for i in order], num_steps)
        for i, found in zip(order, together, strict=True):
            assert_same(found, alone[i])


@pytest.mark.parametrize("num_steps", [1, 4])
def test_padding_changes_nothing_with_a_real_backbone(resnet_model, num_steps):
    small, large = image(50, 71, 0), image(131, 97, 1)
    together = detect(resnet_model, [small, large], num_steps)
    for inputs, found in zip((small, large), together, strict=True):
        assert_same(found, detect(resnet_model, [inputs], num_steps)[0])


def test_steps_and_seed_matter(model):
    """The tests above would show nothing if all settings gave the same detections."""
    results = [detect(model, [image(64, 96, 0)], *setting)[0].scores for setting in ((1, 0), (4, 0), (4, 1))]
    for i, j in ((0, 1), (1, 2)):
        assert len(results[i]) != len(results[j]) or not torch.allclose(results[i], results[j], atol=1e-4)


@torch.no_grad()
def test_a_pooled_detection_has_the_mask_of_its_own_pass(inst, monkeypatch):
    """The mask of a detection comes from the filters of its own query in its own pass."""
    inputs = [image(64, 96, 0)]
    pooled = detect(inst, inputs, num_steps=4)[0]
    monkeypatch.setattr(inst, "sampler", copy.copy(inst.sampler))
    inst.sampler.num_steps, inst.sampler.seed = 4, 0
    scene = inst.encode(inst.preprocess(inputs))
    scores, filters = [], []
    for each in inst.sample(scene, inputs)[:-1]:
        (found,) = each.prediction.outputs["detections"]
        last = inst.predict_heads(scene, each.queries.boxes, torch.tensor([each.t]))[-1]
        scores.append(found.scores)
        filters.append(last["filters"][0, found.queries])
    own = (torch.cat(scores) - pooled.scores[:, None]).abs().argmin(1)
    assert len({int(place) // len(scores[0]) for place in own}) > 1  # detections come from more than one pass
    sizes = dict(stride=inst.mask_stride, image_size=(64, 96), output_size=(64, 96))
    (feature,) = inst.mask_feature(scene)
    expected = inst.mask_head.in_pixels(feature, torch.cat(filters)[own], pooled.pred_boxes.tensor, **sizes)
    assert (pooled.pred_masks != expected).float().mean() < 1e-4
    assert (pooled.pred_masks != expected.flip(0)).float().mean() > 1e-2  # so not all masks are the same


# ---- numbers of ground truths ----


@pytest.mark.parametrize(
    "counts",
    [[0, 3], [PROPOSALS + 5, 2], [PROPOSALS, 0], [PROPOSALS - 1, PROPOSALS + 1], [1]],
    ids=["none in one image", "more than proposals", "exactly the proposals", "one fewer and one more", "one"],
)
def test_any_number_of_ground_truths_trains_and_evaluates(model, counts):
    losses = train_and_evaluate(model, counts)
    wanted = {"loss_class", "loss_bbox", "loss_giou", "loss_mask", "loss_bbox_0", "loss_mask_0"}
    assert all(losses[key] > 0 for key in wanted & losses.keys())


def test_a_batch_without_ground_truths_trains_with_a_gradient_for_every_parameter(model):
    losses = train_and_evaluate(model, [0, 0])
    assert {key for key, loss in losses.items() if loss > 0} == {"loss_class", "loss_class_0"}


@pytest.mark.parametrize("name", NAMES)
def test_a_single_class_trains_and_evaluates(name):
    model = build(name, num_classes=1)
    for counts in ([4, 0], [0, 0], [PROPOSALS + 1, 3]):
        train_and_evaluate(model, counts, num_classes=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_single_proposal_and_a_single_head_train_and_evaluate(name):
    model = build(name, num_proposals=1, num_heads=1)
    assert set(train_and_evaluate(model, [2, 0])) <= {"loss_class", "loss_bbox", "loss_giou", "loss_mask"}


def test_losses_have_their_names_whether_or_not_there_are_ground_truths(model):
    kinds = ["loss_class", "loss_bbox", "loss_giou"] + ["loss_mask"] * hasattr(model, "mask_head")
    expected = {kind + suffix for kind in kinds for suffix in ("", "_0")}
    for counts in ([2, 1], [0, 0]):
        assert set(train_and_evaluate(model, counts)) == expected == set(model.criterion.weight_dict)


def test_a_last_head_s_mask_loss_leaves_every_parameter_a_gradient():
    model = fill(instantiate(shrink(load_model("ablations/last-mask-loss-5"))), salt=1)
    losses = train_and_evaluate(model, [3, 1])
    assert losses["loss_mask"] > 0 and losses["loss_mask_0"] == 0


# ---- no detections ----


@pytest.mark.parametrize("num_steps", [1, 4])
def test_no_detections_when_all_boxes_are_degenerate(model, num_steps):
    empty = copy.deepcopy(model)
    for head in empty.head.head_series:
        head.bboxes_delta.bias.data[2:] = -200.0
    for found, size in zip(
        detect(empty, [image(64, 96, 0), image(64, 64, 1)], num_steps), ((64, 96), (64, 64)), strict=True
    ):
        assert len(found) == 0 and found.image_size == size and found.pred_boxes.tensor.shape == (0, 4)
        if hasattr(model, "mask_head"):
            assert found.pred_masks.shape == (0, *size) and found.pred_masks.dtype == torch.bool


def test_classes_are_the_model_s(model):
    (found,) = detect(model, [image(64, 96, 0)], num_steps=1)
    assert len(found) <= PROPOSALS and found.pred_classes.max() < CLASSES
