"""The plan of a training follows the data."""

from dataclasses import replace

import pytest

from datasets_utils.own_data.facts import DataFacts
from projects.diffu_base import get_config
from projects.diffu_base.config.own_data import plan_training

FACTS = DataFacts(400, {"cup": 900, "ball": 800}, 12, short_edge=480, aspect=4 / 3, object_size=60, has_masks=False)
MODEL = "diffu_dino/custom-lite0-3scales"


def planned(facts: DataFacts, model: str = MODEL, **arguments):
    cfg = get_config(model)
    arguments = {"epochs": 10, "memory": None, **arguments}
    return cfg, plan_training(cfg, facts, **arguments)


def test_an_ordinary_data_set_keeps_the_config_s_sizes():
    cfg, plan = planned(FACTS)
    assert (cfg.model.num_queries, cfg.model.select_box_nums_for_evaluation) == (200, 100)
    assert cfg.dataloader.test.mapper.augmentation[0].short_edge_length == 384
    assert (cfg.train.max_iter, cfg.dataloader.train.total_batch_size) == (1000, 4)
    assert cfg.lr_multiplier.scheduler.num_updates == 1000 and cfg.train.eval_period == 100
    assert plan.warnings == [] and len(plan.choices) == 4


def test_a_crowded_image_gets_room_in_queries_detections_and_evaluation():
    cfg, _ = planned(replace(FACTS, most_objects=375))
    assert cfg.model.num_queries == cfg.model.select_box_nums_for_evaluation == 600
    assert cfg.dataloader.evaluator.max_dets == 600
    cfg, _ = planned(replace(FACTS, most_objects=375), "diffusion_inst/custom-lite0")
    assert cfg.model.num_proposals == cfg.model.select_box_nums_for_evaluation == 600


def test_learned_queries_of_a_trained_model_cannot_become_more():
    crowded = replace(FACTS, most_objects=375)
    baseline = "diffu_dino/baseline-dino-custom-lite0-3scales"
    cfg, plan = planned(crowded, baseline, trained_queries=True)
    assert cfg.model.num_queries == 200 and "375 objects" in plan.warnings[0]
    assert planned(crowded, baseline)[0].model.num_queries == 600


@pytest.mark.parametrize(
    ("short_edge", "object_size", "expected"),
    [(256, 60, 256), (256, 12, 352), (256, 2, 512), (2000, 200, 384), (2000, 40, 768)],
)
def test_small_images_stay_as_they_are_and_small_objects_are_enlarged(short_edge, object_size, expected):
    cfg, _ = planned(replace(FACTS, short_edge=short_edge, object_size=object_size))
    assert cfg.dataloader.test.mapper.augmentation[0].short_edge_length == expected
    edges = cfg.dataloader.train.mapper.augmentation[1].short_edge_length
    assert min(edges) < expected <= max(edges)


def test_a_gpu_computes_as_many_images_at_once_as_fit():
    cfg, _ = planned(FACTS, "diffu_dino/custom-r50-4scales", memory=8 * 2**30)
    batch, steps = cfg.dataloader.train.total_batch_size, cfg.train.accumulation_steps
    assert batch == 16 and batch % steps == 0 and steps > 1
    assert planned(FACTS, "diffu_dino/custom-r50-4scales", memory=80 * 2**30)[0].train.accumulation_steps == 1


def test_the_rate_follows_the_root_of_the_batch():
    cfg, _ = planned(FACTS, "diffu_dino/custom-r50-4scales")
    assert cfg.dataloader.train.total_batch_size == 4 and cfg.optimizer.lr == pytest.approx(5e-5)


def test_a_handful_of_images_still_gives_several_updates_an_epoch():
    cfg, _ = planned(replace(FACTS, num_images=12))
    assert cfg.dataloader.train.total_batch_size == 2 and cfg.train.max_iter == 60
