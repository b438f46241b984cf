"""What a prediction may be told."""

import pytest

from projects.diffu_base.api.settings import Settings, dialled
from tests.support.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model("diffu_dino_r50")


def test_the_model_samples_as_told_and_is_itself_again_afterwards(model):
    sampler, boxes, most = model.sampler, model.num_boxes, model.select_box_nums_for_evaluation
    before = dict(vars(sampler))
    with pytest.raises(RuntimeError), dialled(model, Settings(steps=7, boxes=400, seed=3)):
        assert (model.sampler.num_steps, model.sampler.seed) == (7, 3)
        assert model.num_boxes == model.select_box_nums_for_evaluation == 400
        raise RuntimeError
    assert model.sampler is sampler and vars(sampler) == before
    assert (model.num_boxes, model.select_box_nums_for_evaluation) == (boxes, most)


def test_fewer_boxes_leave_the_number_of_detections(model):
    with dialled(model, Settings(boxes=5)):
        assert (model.num_boxes, model.select_box_nums_for_evaluation) == (5, 100)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be a whole number from 1 on"),
        ({"steps": 2.5}, "steps is 2.5; it must be a whole number"),
        ({"steps": 100}, "steps is 100; this model allows 1 to 99"),
        ({"boxes": -1}, "boxes is -1"),
        ({"draws": 0}, "draws is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"threshold": 30}, r"threshold is 30; it must lie in \[0, 1\]"),
    ],
)
def test_values_that_make_no_sense_are_refused(model, settings, message):
    with pytest.raises(ValueError, match=message):
        Settings(**settings).check(model)


@pytest.mark.parametrize("settings", [{"steps": 3}, {"draws": 2}])
def test_a_baseline_has_no_noise_to_draw(settings):
    baseline = tiny_model("dino_r50")
    Settings(steps=1, draws=1).check(baseline)
    with pytest.raises(ValueError, match="this model has no diffusion, so it makes one pass"):
        Settings(**settings).check(baseline)
