"""What tests of whole models share: inputs, seeded detection, one training step, detections compared."""

import copy

import torch
from detectron2.structures import BitMasks, Boxes, Instances
from torch.testing import assert_close


def image(height, width, image_id, count=None, num_classes=7):
    """An input of noise; with `count` ground truths, whose masks fill their boxes."""
    generator = torch.Generator().manual_seed(image_id)
    pixels = torch.randint(256, (3, height, width), dtype=torch.uint8, generator=generator)
    inputs = {"image": pixels, "height": height, "width": width, "image_id": image_id}
    if count is not None:
        corners = torch.rand(count, 2, 2, generator=generator).sort(1).values * torch.tensor([width, height])
        classes = torch.randint(num_classes, (count,), generator=generator)
        inputs["instances"] = Instances((height, width), gt_boxes=Boxes(corners.flatten(1)), gt_classes=classes)
        inputs["instances"].gt_masks = BitMasks(rectangles(corners.flatten(1), height, width))
    return inputs


def rectangles(boxes_abs, height, width):
    """Boxes (N, 4) as masks, (N, height, width) bool: the pixels whose centre lies inside."""
    x1, y1, x2, y2 = boxes_abs[:, :, None, None].unbind(1)
    y, x = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    return (x1 <= x) & (x < x2) & (y1 <= y) & (y < y2)


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


def assert_same_detections(actual, expected, atol=1e-5):
    """Equal up to rounding; where scores are equal up to rounding, the order is free."""
    assert len(actual) == len(expected) > 0
    assert_close(actual.scores, expected.scores, rtol=0, atol=atol)
    same_score = (actual.scores[:, None] - expected.scores).abs() < atol
    same_box = (actual.pred_boxes.tensor[:, None] - expected.pred_boxes.tensor).abs().amax(-1) < 1e3 * atol  # pixels
    same = same_score & same_box & (actual.pred_classes[:, None] == expected.pred_classes)
    assert same.any(0).all() and same.any(1).all()


def assert_same_with_masks(actual, expected, atol=1e-5):
    """`assert_same_detections`, and each detection's mask is that of the nearest one, but for a rounded pixel."""
    assert_same_detections(actual, expected, atol)
    distance = (actual.scores[:, None] - expected.scores).abs()
    distance += (actual.pred_boxes.tensor[:, None] - expected.pred_boxes.tensor).abs().amax(-1)
    assert expected.pred_masks.any()
    assert (actual.pred_masks != expected.pred_masks[distance.argmin(1)]).float().mean() < 1e-4


def train_and_evaluate(model, counts, num_classes=7):
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
