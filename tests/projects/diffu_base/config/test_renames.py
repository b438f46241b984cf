"""Configs that were saved before classes and arguments moved."""

import pytest
from detectron2.config import instantiate

from layers_diffu_detr.ldm.ddim import DDIMSampler
from projects.diffu_base import get_config
from projects.diffu_base.config.renames import MOVED, update_names

SAVED = """
model:
  sampler:
    _target_: layers_diffu_detr.ldm.ddim.DDIMSampler
    ensemble: {_target_: layers_diffu_detr.ldm.ddim.AllPasses}
    nms: {_target_: layers_diffu_detr.postprocess.ClassWiseNMS, iou_threshold: 0.7, min_passes: 2}
    num_steps: 4
    renewal: {_target_: layers_diffu_detr.ldm.ddim.FixedRenewal, value: 0.3}
    update: {_target_: layers_diffu_detr.ldm.ddim.ReleasedUpdate, eta: 0.0}
  others:
  - {_target_: layers_diffu_detr.ldm.ddim.SinglePass, nms: null}
  - ${.0}
  nothing: null
"""


def test_a_saved_config_gets_the_names_of_now(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(SAVED)
    model = get_config(str(file)).model
    sampler = instantiate(model.sampler)
    assert isinstance(sampler, DDIMSampler) and sampler.num_steps == 4
    assert sampler.renewal.value == 0.3 and sampler.merge.iou_threshold == 0.7
    assert "nms" not in model.sampler and model.others[0].merge is None and "nms" not in model.others[0]


def test_a_config_of_now_stays_as_it_is():
    cfg, expected = get_config("diffu_dino/demo/digits"), get_config("diffu_dino/demo/digits")
    update_names(cfg)
    assert cfg == expected


@pytest.mark.parametrize("target", MOVED.values())
def test_what_moved_is_where_the_table_says(target):
    module, _, name = target.rpartition(".")
    assert hasattr(__import__(module, fromlist=[name]), name)
