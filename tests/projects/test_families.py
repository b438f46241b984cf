"""Diffusion is a matter of config: each diffusion model and its baseline are one class with other objects in slots."""

import pytest

from tests.support.config_trees import slots_that_differ
from tests.support.tiny_models import tiny_config, tiny_model

FAMILIES = [
    ("diffu_detr_r50", "deformable_detr_r50"),
    ("diffu_dino_r50", "dino_r50"),
    ("diffu_aligndetr_r50", "aligndetr_r50"),
]
DIFFUSION = {
    "diffusion", "diffused_queries", "sampler", "transformer.time_embed", "transformer.decoder.conditioning",
}  # fmt: skip
# Where the queries' content and positions come from, and the criterion, differ beside the diffusion.
BESIDES = {
    "diffu_detr_r50": {"transformer.tgt_embed", "transformer.pos_trans", "transformer.decoder.ref_point_head"},
    "diffu_dino_r50": {"transformer.tgt_embed", "criterion.class_loss", "criterion.encoder_targets"},
    "diffu_aligndetr_r50": {"transformer.tgt_embed"},
}


@pytest.mark.parametrize(("name", "baseline"), FAMILIES)
def test_a_diffusion_model_and_its_baseline_differ_in_slots_alone(name: str, baseline: str):
    ours, theirs = tiny_config(name), tiny_config(baseline)
    assert ours._target_ == theirs._target_
    assert slots_that_differ(ours, theirs) == DIFFUSION | BESIDES[name]


@pytest.mark.parametrize(("name", "baseline"), FAMILIES)
def test_a_baseline_has_no_parameters_of_time(name: str, baseline: str):
    ours, theirs = (set(tiny_model(each).state_dict()) for each in (name, baseline))
    assert any("time" in key for key in ours) and not any("time" in key for key in theirs)
    besides = tuple(BESIDES[name])
    assert all("time" in key or key.startswith(besides) for key in ours - theirs)
    assert all(key.startswith(besides) for key in theirs - ours)
