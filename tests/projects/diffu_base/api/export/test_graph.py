"""A detector as a function of tensors gives what the detector gives; eager, without any exporter."""

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.ldm.renewal import NothingNew
from layers_diffu_detr.ldm.starts import SobolStart
from layers_diffu_detr.postprocess import ClassWiseNMS
from projects.diffu_base.api.export.checked import InputSize, noise_of
from projects.diffu_base.api.export.graph import Graph
from projects.diffu_base.api.export.suppression import class_wise_nms, suppress
from tests.projects.diffusion_inst.tiny import tiny_model as tiny_diffusion_inst
from tests.support.detection import image
from tests.support.tiny_models import tiny_model

NAMES = ["diffu_detr_r50", "deformable_detr_r50", "diffu_dino_r50", "dino_r50", "diffu_aligndetr_r50", "aligndetr_r50"]


def spread(model):
    """The model with detections of many scores, and noise of a seed."""
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if ("class_embed" in name or "class_logits" in name) and weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    model.sampler.seed = 0
    return model


@torch.no_grad()
def by_graph(model, images, suppression=suppress):
    graph = Graph(model, suppression)
    return graph(images, noise_of(graph, model, InputSize(*images.shape[-2:], batch=len(images))))


@torch.no_grad()
def by_detector(model, images):
    return [result["instances"] for result in model([{"image": each} for each in images])]


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_detects_what_its_detector_detects(name):
    model = spread(tiny_model(name))
    images = torch.stack([image(64, 96, number)["image"] for number in (0, 1)]).float()
    found, expected = by_graph(model, images), by_detector(model, images)
    for i, instances in enumerate(expected):
        rows = found["classes"][i] >= 0
        assert 0 < rows.sum() == len(instances)
        assert_close(found["boxes"][i][rows], instances.pred_boxes.tensor)
        assert_close(found["scores"][i][rows], instances.scores)
        assert_close(found["classes"][i][rows], instances.pred_classes)


def test_a_graph_of_a_model_with_masks_has_them_too():
    model = spread(tiny_diffusion_inst(select_box_nums_for_evaluation=20))
    images = image(64, 96, 0)["image"][None].float()
    found, (expected,) = by_graph(model, images), by_detector(model, images)
    rows = found["classes"][0] >= 0
    assert found["masks"].shape == (1, 20, 64, 96) and expected.pred_masks.any()
    assert_close(found["masks"][0][rows], expected.pred_masks)


def test_the_number_of_draws_follows_the_steps_and_a_baseline_draws_none():
    images = torch.zeros(2, 3, 64, 64)
    model = tiny_model("diffu_dino_r50")
    for steps in (1, 3):
        model.sampler.num_steps = steps
        assert Graph(model, suppress).count_draws(images) == 1 + steps
    assert Graph(tiny_model("dino_r50"), suppress).count_draws(images) == 0


def test_making_a_graph_leaves_the_detector_as_it_is():
    model = spread(tiny_model("diffu_dino_r50"))
    images = torch.zeros(1, 3, 64, 64)
    before = by_detector(model, images)[0].pred_boxes.tensor
    by_graph(model, images)
    assert type(model).__name__ == "DiffuDINO"
    assert_close(by_detector(model, images)[0].pred_boxes.tensor, before)


def test_rows_after_the_last_detection_have_no_class_and_score_zero():
    model = spread(tiny_model("diffu_dino_r50"))
    model.sampler.merge = ClassWiseNMS(iou_threshold=0.01)
    found = by_graph(model, torch.zeros(1, 3, 64, 64))
    rows = found["classes"][0] >= 0
    assert 0 < rows.sum() < len(rows)
    assert (found["scores"][0][~rows] == 0).all() and (found["scores"][0][rows] > 0).all()


@pytest.mark.parametrize("function", [suppress, class_wise_nms])
def test_suppression_keeps_the_better_of_two_that_overlap_and_have_one_class(function):
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 1, 0.9], [3, 3, 4, 4], [0, 0, 1, 0.5]])
    scores, classes = torch.tensor([0.5, 0.9, 0.8, 0.1, 0.7]), torch.tensor([0, 0, 12000, 0, 0])
    kept = function(
        boxes[None].repeat(2, 1, 1), torch.stack([scores, scores.flip(0)]), classes.repeat(2, 1), 0.6, 13000
    )
    assert kept[0].tolist() == [False, True, True, True, True]
    assert kept[1].tolist() == [True, False, True, True, True]


def test_a_sampler_of_which_a_graph_cannot_hold_a_part_is_refused():
    model = tiny_model("diffu_dino_r50")
    model.sampler.start = SobolStart()
    with pytest.raises(ValueError, match="sampler.start is SobolStart; a graph can hold GaussianStart, ProposalStart"):
        Graph(model, suppress)
    model = tiny_model("diffu_dino_r50")
    model.sampler.stop = NothingNew()
    with pytest.raises(ValueError, match="sampler.stop is NothingNew; a graph can hold null"):
        Graph(model, suppress)
