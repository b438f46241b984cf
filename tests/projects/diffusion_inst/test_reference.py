"""Detections, masks, matching and losses equal those of the public DiffusionInst."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.mask_head import DynamicMaskHead
from projects.diffu_base.modeling.losses import FocalLoss
from projects.diffu_base.modeling.mask_loss import MaskLoss
from projects.diffusion_inst.modeling.criterion import EveryHead, MaskCriterion
from projects.diffusion_inst.modeling.matcher import SimOTAMatcher
from tests.projects.diffusion_inst.reference import (
    CLASSES,
    IMAGE,
    criterion_inputs,
    golden,
    public_name,
    reference_image,
    reference_model,
)
from tests.support.golden import DATA, detections

MORE = np.load(DATA / "diffusion_inst.npz")
CASES = {
    1: (3, 5),
    2: (1, 12),
    3: (0, 4),
}  # salt -> targets per image; twelve want more queries than there are


@pytest.fixture(scope="module")
def model():
    return reference_model(golden()["salt"])


@pytest.fixture(scope="module")
def masked_model():
    return reference_model(salt=4)


def assert_equals(found, boxes, scores, classes, masks):
    assert_close(found.scores, torch.from_numpy(scores), rtol=0, atol=1e-4)
    assert_close(found.pred_boxes.tensor, torch.from_numpy(boxes), rtol=0, atol=0.05)
    assert torch.equal(found.pred_classes, torch.from_numpy(classes))
    assert (found.pred_masks.numpy() != masks).mean() < 1e-3


@torch.no_grad()
def test_detections_equal_the_golden_ones(model):
    expected = {key: detections("diffusion_inst")[f"steps1/image0/{key}"] for key in ("boxes", "scores", "classes")}
    torch.manual_seed(golden()["seed"])
    (result,) = model([{**IMAGE, "image": reference_image()}])
    masks = detections("diffusion_inst")["steps1/image0/masks"].astype(bool)
    assert_equals(result["instances"], **expected, masks=masks)


def test_parameters_are_the_public_ones(model):
    names = {public_name(name) for name, _ in model.named_parameters()}
    assert names <= golden()["keys"].keys()


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 4])
def test_masks_in_another_size_and_several_steps_equal_the_public_code_s(masked_model, steps):
    """The detections are those of the public code, except for their number.

    Confidences are so high that no query is renewed: the public code then draws noise for its updates alone. It pools
    any number of detections; here the best 30 are kept, and then those whose clipped box is empty are removed.
    """
    model = masked_model
    model.sampler.num_steps = steps
    torch.manual_seed(golden()["seed"])
    # The public code's schedule is float64, and so is its noise from the second update on.
    initial, *of_updates = (torch.randn(1, 30, 4, dtype=torch.float64 if i > 1 else None).float() for i in range(steps))
    of_renewals = torch.full((1, 30, 4), torch.nan)  # no query may use it
    of_last_step = [of_renewals, of_renewals]
    draws = iter([initial, *(x for noise in of_updates for x in (noise, of_renewals)), *of_last_step])
    model.noise_source = lambda inputs: lambda: next(draws)
    (result,) = model([{"image": reference_image(), "height": 120, "width": 150}])
    found = result["instances"]
    assert 20 < len(found) <= 30
    expected = {key: MORE[f"steps{steps}/{key}"][: len(found)] for key in ("boxes", "scores", "classes")}
    shape = (len(found), 120, 150)
    masks = np.unpackbits(MORE[f"steps{steps}/masks"], count=np.prod(shape)).reshape(shape).astype(bool)
    assert masks.mean() > 0.01  # the comparison is not empty
    assert_equals(found, **expected, masks=masks)


@pytest.mark.parametrize("salt", CASES)
def test_every_head_s_assignment_equals_the_public_code_s(salt):
    outputs, targets = criterion_inputs(salt, CASES[salt])
    layers = [(outputs, targets), (outputs["aux_outputs"][0], targets)]
    for layer, indices in zip(("last", "first"), SimOTAMatcher().match_layers(layers), strict=True):
        for i, (queries, matched) in enumerate(indices):
            expected = MORE[f"criterion{salt}/{layer}{i}"]
            assert queries.tolist() == expected[0].tolist() and matched.tolist() == expected[1].tolist()


@pytest.mark.parametrize("salt", CASES)
def test_every_loss_equals_the_public_code_s(salt):
    outputs, targets = criterion_inputs(salt, CASES[salt])
    criterion = MaskCriterion(
        num_classes=CLASSES,
        num_layers=2,
        matcher=SimOTAMatcher(),
        class_loss=FocalLoss(),
        weight_dict={
            "loss_class": 1.0,
            "loss_bbox": 1.0,
            "loss_giou": 1.0,
            "loss_mask": 5.0,
        },  # the public code has the 5 in it
        mask_loss=MaskLoss(DynamicMaskHead()),
        supervised=EveryHead(),
    )
    losses = criterion.weighted(criterion(outputs, targets))
    names = [kind + suffix for suffix in ("", "_0") for kind in ("loss_class", "loss_bbox", "loss_giou", "loss_mask")]
    assert set(losses) == set(names)
    expected = torch.from_numpy(MORE[f"criterion{salt}/losses"]).float()
    assert_close(torch.stack([losses[name] for name in names]), expected, rtol=2e-4, atol=1e-6)
