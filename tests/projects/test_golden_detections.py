"""Detections equal those of the public reference implementations, on tiny models with weights made from names."""

import pytest
import torch

from tests.support.golden import detections, fill, meta, reference_images
from tests.support.tiny_models import tiny_model


@pytest.mark.parametrize(
    ("name", "config", "steps"),
    [
        ("deformable_detr", "deformable_detr_r50", 0),
        ("dino", "dino_r50", 0),
        ("diffu_dino", "diffu_dino_r50", 1),
        ("diffu_dino", "diffu_dino_r50", 3),
        ("align_detr", "aligndetr_r50", 0),
        ("diffu_align_detr", "diffu_aligndetr_r50", 1),
        ("diffu_align_detr", "diffu_aligndetr_r50", 3),
    ],
)
def test_detections_equal_the_reference(name: str, config: str, steps: int):
    model = fill(tiny_model(config), meta(name)["salt"])
    if steps:
        model.sampler.num_steps = steps
    for i, inputs in enumerate(reference_images(name)):
        torch.manual_seed(meta(name)["seed"])
        with torch.no_grad():
            (result,) = model([inputs])
        instances = result["instances"]
        expected = {
            key: torch.from_numpy(detections(name)[f"steps{steps}/image{i}/{key}"])
            for key in ("boxes", "scores", "classes")
        }
        torch.testing.assert_close(instances.scores, expected["scores"], rtol=0, atol=2e-4)
        torch.testing.assert_close(instances.pred_boxes.tensor, expected["boxes"], rtol=0, atol=0.5)
        torch.testing.assert_close(instances.pred_classes, expected["classes"].long())
