"""DiffuDINO with masks: independence of images, masks and their loss, numbers of targets, weights without masks."""

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import BasicStem, ResNet
from detectron2.modeling.backbone.resnet import BasicBlock
from torch.testing import assert_close

from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base.modeling.batching import valid_sizes_of
from projects.diffu_base.modeling.mask_loss import dice_loss
from tests.support.detection import assert_same_detections, assert_same_with_masks, detect, image, train_and_evaluate
from tests.support.golden import fill
from tests.support.tiny_models import tiny_config

pytestmark = pytest.mark.slow

QUERIES = 30
NAME = "diffu_dino_inst_r50"


def build(name=NAME, **overrides):
    return fill(instantiate(tiny_config(name, **overrides)), salt=1).eval()


def resnet():
    """The model on a small ResNet, whose convolutions see padding and whose maps' sides are rounded up."""
    backbone = L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=8, norm="FrozenBN"),
        stages=[
            L(ResNet.make_stage)(
                block_class=BasicBlock,
                num_blocks=1,
                in_channels=i,
                out_channels=o,
                stride_per_block=[s],
                norm="FrozenBN",
            )
            for i, o, s in ((8, 8, 1), (8, 16, 2), (16, 24, 2), (24, 32, 2))
        ],
        out_features=["res3", "res4", "res5"],
    )
    config = tiny_config(NAME, backbone=backbone)
    config.neck.input_shapes = {f"res{i}": ShapeSpec(channels=c) for i, c in ((3, 16), (4, 24), (5, 32))}
    return fill(instantiate(config), salt=1).eval()


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def resnet_model():
    return resnet()


# ---- results ----


@torch.no_grad()
def test_detections_have_masks_in_the_output_s_size_within_their_boxes(model):
    (small,) = detect(model, [image(64, 96, 0)])
    (large,) = detect(model, [{**image(64, 96, 0), "height": 128, "width": 288}])
    assert set(small.get_fields()) == {"pred_boxes", "scores", "pred_classes", "pred_masks"}
    assert small.pred_masks.shape == (len(small), 64, 96) and small.pred_masks.dtype == torch.bool
    assert large.pred_masks.shape == (len(large), 128, 288) and len(large) > 0
    assert small.pred_masks.any()
    for mask, (x1, y1, x2, y2) in zip(small.pred_masks.clone(), small.pred_boxes.tensor.long().tolist(), strict=True):
        mask[y1:y2, x1:x2] = False
        assert not mask.any()


@pytest.mark.parametrize("num_steps", [1, 3])
def test_a_batch_of_different_sizes_gives_each_image_what_it_gives_alone(model, num_steps):
    inputs = [image(32, 40, 0), image(96, 64, 1), image(64, 128, 2), image(96, 64, 3)]
    alone = [detect(model, [each], num_steps)[0] for each in inputs]
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        together = detect(model, [inputs[i] for i in order], num_steps)
        for i, found in zip(order, together, strict=True):
            assert_same_with_masks(found, alone[i])


@pytest.mark.parametrize("num_steps", [1, 3])
def test_padding_changes_nothing_with_a_real_backbone(resnet_model, num_steps):
    small, large = image(50, 71, 0), image(131, 97, 1)
    together = detect(resnet_model, [small, large], num_steps)
    for inputs, found in zip((small, large), together, strict=True):
        assert_same_with_masks(found, detect(resnet_model, [inputs], num_steps)[0])


@torch.no_grad()
def test_a_mask_is_what_the_filters_of_its_own_query_make_of_the_image_s_memory(model):
    inputs = [image(64, 96, 0)]
    (found,) = detect(model, inputs, num_steps=1)
    sampler = model.sampler.num_steps, model.sampler.seed
    model.sampler.num_steps, model.sampler.seed = 1, 0
    memory = model.encode(model.preprocess(inputs))
    (last,) = model.sample(memory, inputs)
    model.sampler.num_steps, model.sampler.seed = sampler
    (detections,) = last.prediction.outputs["detections"]
    maps = memory.maps()
    assert [tuple(level.shape[-2:]) for level in maps] == [(8, 12), (4, 6), (2, 3), (1, 2)]
    assert torch.equal(maps[1][0, :, 2, 5], memory.tokens[0, 8 * 12 + 2 * 6 + 5])
    probability = model.mask_head(model.mask_branch(maps)[0], detections.filters).sigmoid()
    for i in range(3):
        assert_close(found.scores[i], detections.scores[i])
        x1, y1, x2, y2 = found.pred_boxes.tensor[i].long().tolist()
        # At the centres of the mask feature's cells nothing is interpolated.
        y, x = torch.arange(4, 64, 8), torch.arange(4, 96, 8)
        inside = ((y >= y1) & (y < y2))[:, None] & ((x >= x1) & (x < x2))
        assert torch.equal(found.pred_masks[i][4::8, 4::8], (probability[i] > 0.5) & inside)


# ---- training ----


def test_every_layer_s_mask_loss_is_the_mean_dice_loss_of_its_matched_queries(model):
    inputs = [image(64, 96, 0, count=2), image(96, 64, 1, count=3)]
    seen = {}
    hook = model.criterion.register_forward_pre_hook(lambda _, args: seen.update(outputs=args[0], targets=args[1]))
    torch.manual_seed(0)
    with torch.no_grad():
        losses = model.train()(inputs)
    model.eval()
    hook.remove()
    outputs, targets = seen["outputs"], seen["targets"]
    assert [t["masks"].shape for t in targets] == [(2, 8, 12), (3, 12, 8)]
    for layer, suffix in ((outputs, ""), (outputs["aux_outputs"][0], "_0")):
        assert layer["filters"].shape == (2, QUERIES, model.mask_head.num_filters)
        (indices,) = model.criterion.matcher.match_layers([(layer, targets)])
        total = 0.0
        for i, (queries, matched) in enumerate(indices):
            masks = torch.zeros(len(matched), 12, 12)
            own = targets[i]["masks"][matched]
            masks[:, : own.shape[1], : own.shape[2]] = own
            probability = model.mask_head(outputs["mask_feature"][i], layer["filters"][i, queries]).sigmoid()
            total += dice_loss(probability, masks).sum()
        assert_close(losses[f"loss_mask{suffix}"], 5.0 * total / 5)


@pytest.mark.parametrize("counts", [[0, 3], [QUERIES + 5, 2], [1]])
def test_any_number_of_ground_truths_trains_and_evaluates(model, counts):
    losses = train_and_evaluate(model, counts)
    assert {"loss_mask", "loss_mask_0"} <= losses.keys() <= model.criterion.weight_dict.keys()
    assert all(losses[key] > 0 for key in ("loss_mask", "loss_mask_0", "loss_class", "loss_bbox_dn"))


def test_a_batch_without_ground_truths_trains_with_a_gradient_for_every_parameter(model):
    losses = train_and_evaluate(model, [0, 0])
    assert {key for key, loss in losses.items() if loss > 0} == {"loss_class", "loss_class_0", "loss_class_enc"}


def test_masks_teach_branch_controller_and_encoder(model):
    torch.manual_seed(0)
    losses = model.train()([image(64, 96, 0, count=2), image(64, 64, 1, count=0)])
    (losses["loss_mask"] + losses["loss_mask_0"]).backward()
    model.eval()
    parts = (model.mask_branch, model.controller, model.transformer.encoder, model.transformer.decoder, model.backbone)
    for part in parts:
        assert sum(p.grad.abs().sum() for p in part.parameters() if p.grad is not None) > 0
    model.zero_grad()


def test_ground_truth_without_masks_is_refused(model):
    inputs = image(64, 96, 0, count=2)
    inputs["instances"].remove("gt_masks")
    with pytest.raises(ValueError, match="gt_masks"):
        model.train()([inputs])
    model.eval()


def test_more_levels_than_memory_has_are_refused():
    config = tiny_config(NAME)
    config.mask_branch.num_levels = 5
    with pytest.raises(ValueError, match="num_levels is 5"):
        instantiate(config)


# ---- weights ----


def test_weights_of_a_diffu_dino_without_masks_load_and_the_masks_parts_stay(model):
    plain, fresh = build("diffu_dino_r50"), instantiate(tiny_config(NAME)).eval()
    before = fresh.controller.layers[0].weight.clone()
    report = load_weights(fresh, plain.state_dict())
    assert {name.split(".")[0] for name in report.initialised} == {"mask_branch", "controller"}
    assert torch.equal(fresh.controller.layers[0].weight, before)
    expected, found = detect(plain, [image(64, 96, 0)])[0], detect(fresh, [image(64, 96, 0)])[0]
    assert_same_detections(found, expected)
    whole = model.state_dict()
    assert not [name for name in load_weights(fresh, whole).initialised if not name.endswith("num_batches_tracked")]
    del whole["controller.layers.0.weight"]  # a part that the file has must be whole
    with pytest.raises(ValueError, match="controller.layers.0.weight"):
        load_weights(fresh, whole)


def test_valid_sizes_tell_which_part_of_memory_is_an_image_s():
    model = build().train()  # in training images of different sizes share a batch
    with torch.no_grad():
        memory = model.encode(model.preprocess([image(64, 96, 0), image(96, 64, 1)]))
    maps = memory.maps()
    assert [finest for finest, *_ in memory.valid_sizes] == [[8, 12], [12, 8]]
    assert valid_sizes_of((64, 96), (96, 96), maps) == memory.valid_sizes[0]
    assert not maps[0][0, :, 8:].any() and not maps[0][1, :, :, 8:].any()
    assert maps[0][0, :, 7, 11].any() and maps[0][1, :, 11, 7].any()
