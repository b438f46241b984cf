"""The metric by which a run keeps its best weights is one that its evaluation reports."""

from typing import Any

import pytest
from detectron2.config import LazyCall as L
from torch import nn

from projects.diffu_base.config.checks import check_data, load_config
from projects.diffu_base.config.metrics import check_best_metric
from projects.diffu_base.config.options.train import EmaOptions
from projects.diffu_dino.modeling.dino import DiffuDINO
from projects.diffu_dino.modeling.dino_inst import DiffuDINOInst
from projects.diffusion_inst.modeling.diffusion_inst import DiffusionInst
from tests.projects.diffu_base.engine.runs import config
from tests.support.custom_tree import overrides, write_custom_tree

BOXES, MASKS, OWN = L(DiffuDINO)(), L(DiffuDINOInst)(), L(nn.Identity)()
OWN_DATA = "diffu_dino/custom-r50-4scales"
AVERAGES_FIRST = {"enabled": True, "use_ema_weights_for_eval_only": True}


def metric_names(task: str) -> list[str]:
    return ["AP", "AP50", "AP-cup", "AP-ball"]


def check(best_metric: str, model: Any = BOXES, **ema: bool) -> None:
    check_best_metric(best_metric, metric_names, model=model, ema=EmaOptions(**ema))


@pytest.mark.parametrize(
    ("best_metric", "model", "ema"),
    [
        ("bbox/AP", BOXES, {}),
        ("bbox/AP-cup", BOXES, {}),
        ("bbox/AP", MASKS, {}),
        ("segm/AP", MASKS, {}),
        ("segm/AP", L(DiffusionInst)(), {}),
        ("segm/AP", OWN, {}),  # a class of one's own may predict masks
        ("bbox_raw/AP", BOXES, {**AVERAGES_FIRST, "eval_both": True}),
        ("bbox/AP", BOXES, {**AVERAGES_FIRST, "eval_both": True}),
        ("bbox_ema/AP50", BOXES, {"enabled": True, "eval_both": True}),
    ],
)
def test_a_metric_that_is_reported(best_metric: str, model: Any, ema: dict[str, bool]):
    check(best_metric, model, **ema)


@pytest.mark.parametrize(
    ("best_metric", "ema"),
    [
        ("bbox/mAP", {}),
        ("AP", {}),
        ("segm/AP", {}),
        ("bbox_raw/AP", AVERAGES_FIRST),
        ("bbox_ema/AP", {**AVERAGES_FIRST, "eval_both": True}),
        ("bbox_raw/AP", {"enabled": True, "eval_both": True}),
        ("bbox_ema/AP", {"eval_both": True}),
    ],
)
def test_a_metric_that_is_not_reported(best_metric: str, ema: dict[str, bool]):
    with pytest.raises(ValueError, match=rf"best_metric is '{best_metric}'; .*bbox/AP, bbox/AP50.*every class"):
        check(best_metric, BOXES, **ema)


def test_both_tasks_and_both_sets_of_weights_are_named():
    with pytest.raises(ValueError, match="bbox/AP, .*bbox_ema/AP, .*segm/AP, .*segm_ema/AP, "):
        check("bbox/AP75", MASKS, enabled=True, eval_both=True)


def test_a_class_that_is_spelled_wrong_has_the_right_one_beside_it():
    with pytest.raises(ValueError, match="'bbox/AP-cups'; .*bbox/AP-cup"):
        check("bbox/AP-cups")


def test_a_metric_without_an_evaluator():
    cfg = config("train.checkpointer.best_metric=bbox/AP")
    del cfg.dataloader["evaluator"]
    with pytest.raises(ValueError, match="best_metric is 'bbox/AP'; there is no dataloader.evaluator"):
        check_data(cfg, training=True)
    check_data(cfg, training=False)


def test_a_run_on_own_data_names_the_metrics_of_its_classes(tmp_path):
    settings = [*overrides(write_custom_tree(tmp_path)), f"train.output_dir={tmp_path}/output"]
    with pytest.raises(ValueError, match="best_metric is 'bbox/AP-cups'; the evaluation reports .*, bbox/AP-cup"):
        check_data(
            load_config(OWN_DATA, [*settings, "train.checkpointer.best_metric=bbox/AP-cups"], num_gpus=0), training=True
        )
    with pytest.raises(ValueError, match="best_metric is 'segm/AP'; the evaluation reports bbox/AP, "):
        check_data(
            load_config(OWN_DATA, [*settings, "train.checkpointer.best_metric=segm/AP"], num_gpus=0), training=True
        )
    check_data(load_config(OWN_DATA, [*settings, "train.checkpointer.best_metric=bbox/AP"], num_gpus=0), training=True)


def test_an_evaluator_that_does_not_name_its_metrics_is_not_checked():
    check_data(config("train.checkpointer.best_metric=anything"), training=True)
