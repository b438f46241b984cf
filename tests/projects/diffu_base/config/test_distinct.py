"""Configs of distinct queries: what they change, in models with diffusion and in baselines."""

import pytest
from detectron2.config import instantiate

from layers_diffu_detr.box_ops import paired_iou
from layers_diffu_detr.ldm.starts import DistinctProposalStart
from projects.diffu_base import get_config
from projects.diffu_base.config.checks import check_config
from projects.diffu_base.config.distinct import use_distinct_queries
from tests.support.config_trees import slots_that_differ
from tests.support.tiny_models import tiny_config

SLOTS = {"transformer.tgt_embed", "sampler.start", "sampler.merge"}
CHAIN = {f"sampler.{key}" for key in ("num_steps", "times", "last_time", "renewal", "ensemble")}
OF_DIFFUSION = CHAIN | {"diffused_queries"}
FAMILIES = {
    "dino_r50": SLOTS - {"sampler.merge"},
    "deformable_detr_r50": {"sampler.start"},
    "diffu_detr_r50": SLOTS | OF_DIFFUSION,
    "diffu_dino_r50": SLOTS - {"transformer.tgt_embed"} | OF_DIFFUSION,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_distinct_queries_fill_slots(name: str):
    model = tiny_config(name)
    use_distinct_queries(model, most=8, iou_threshold=0.4)
    assert slots_that_differ(model, tiny_config(name)) == FAMILIES[name]
    built = instantiate(model)
    start = built.sampler.start
    assert isinstance(start, DistinctProposalStart) and (start.most, start.iou_threshold) == (8, 0.4)
    if built.diffusion is None:
        assert built.diffused_queries is None
    else:
        trained = built.diffused_queries.start
        assert (trained.most, trained.iou_threshold) == (8, 0.4)
        assert built.sampler.time_pairs(built.diffusion.num_timesteps) == [(0, -1)] and built.diffused_queries.t == 0


def test_training_follows_the_sampler_s_start():
    cfg = get_config("diffu_dino/demo/digits-distinct", "model.sampler.start.most=25")
    check_config(cfg)
    assert cfg.model.diffused_queries.start.most == 25


def test_the_demo_s_scores_learn_the_iou():
    cfg = get_config("diffu_dino/demo/digits-distinct")
    assert instantiate(cfg.model.criterion.class_loss).quality is paired_iou
    assert instantiate(get_config("diffu_dino/demo/digits").model.criterion.class_loss).quality is not paired_iou


@pytest.mark.parametrize("family", ["diffu_dino", "diffu_align_detr"])
@pytest.mark.parametrize("kind", ["", "baseline-"])
def test_the_demos_of_distinct_queries_differ_from_the_demos_in_slots_and_schedule(family: str, kind: str):
    name = {"diffu_dino": "dino-", "diffu_align_detr": "aligndetr-"}[family] if kind else ""
    released = get_config(f"{family}/demo/{kind}{name}digits")
    distinct = get_config(f"{family}/demo/{kind}{name}digits-distinct")
    check_config(distinct)
    loss = {"criterion.class_loss.quality"} if not kind and family == "diffu_dino" else set()
    slots = slots_that_differ(distinct.model, released.model) - loss
    baseline = {"transformer.tgt_embed", "sampler.start"}
    assert slots == (baseline if kind else SLOTS - {"transformer.tgt_embed"} | OF_DIFFUSION)
    assert slots_that_differ(distinct.train, released.train) == {"output_dir", "max_iter"}
    assert distinct.train.max_iter == 2200 and distinct.dataloader == released.dataloader
