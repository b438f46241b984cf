"""Schedules: where they decay, how long they are, what is refused."""

import pytest
from detectron2.config import instantiate
from omegaconf import OmegaConf

from projects.diffu_base.config import schedules
from projects.diffu_base.config.schedules import multistep


def scheduled(set_schedule, *arguments):
    """The length of a run after `set_schedule`, and its schedule."""
    cfg = OmegaConf.create({"train": {"max_iter": 0}}, flags={"allow_objects": True})
    set_schedule(cfg, *arguments)
    assert cfg.lr_multiplier.scheduler.num_updates == cfg.train.max_iter
    return cfg.train.max_iter, instantiate(cfg.lr_multiplier)


@pytest.mark.parametrize(
    ("set_schedule", "arguments", "decay", "end"),
    [
        (schedules.set_coco_schedule, (12,), 11 * 7500, 12 * 7500),
        (schedules.set_coco_schedule, (24,), 20 * 7500, 24 * 7500),
        (schedules.set_coco_schedule, (36,), 30 * 7500, 36 * 7500),
        (schedules.set_coco_schedule, (50,), 40 * 7500, 50 * 7500),
        (schedules.set_lvis_schedule, (12,), 68_750, 75_000),
        (schedules.set_v3det_schedule, (), 458_333, 550_000),
    ],
)
def test_a_data_set_s_schedule_decays_once(set_schedule, arguments, decay, end):
    max_iter, schedule = scheduled(set_schedule, *arguments)
    assert max_iter == end
    assert [schedule(x) for x in (0.0, (decay - 1) / end)] == [1.0, 1.0]
    assert [schedule(x) for x in ((decay + 1) / end, 0.99999)] == pytest.approx([0.1, 0.1])


def test_the_standard_schedule_warms_up_and_decays_twice():
    max_iter, schedule = scheduled(schedules.set_standard_schedule, 3)
    assert max_iter == 270_000
    iterations = (0, 500, 1000, 209_999, 210_001, 250_001)
    assert [schedule(x / max_iter) for x in iterations] == pytest.approx([0.01, 0.505, 1.0, 1.0, 0.1, 0.01])


@pytest.mark.parametrize(
    ("set_schedule", "value", "allowed"),
    [
        (schedules.set_coco_schedule, 13, "12, 24, 36, 50"),
        (schedules.set_lvis_schedule, 0, "12, 24, 36, 50"),
        (schedules.set_standard_schedule, 2, "1, 3, 5"),
    ],
)
def test_lengths_that_nobody_published_are_refused(set_schedule, value, allowed):
    with pytest.raises(ValueError, match=f"is {value}; allowed are {allowed}"):
        scheduled(set_schedule, value)


def test_multistep_by_iterations_with_warmup():
    schedule = instantiate(multistep(100, [50, 80], warmup_iters=10, warmup_factor=0.0))
    values = [schedule(i / 100) for i in (0, 5, 10, 49, 51, 79, 81, 99)]
    assert values == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("milestones", [[0], [100], [60, 50]])
def test_milestones_outside_the_run_are_refused(milestones):
    with pytest.raises(ValueError, match=r"milestones .*\(0, 100\)"):
        multistep(100, milestones)


def test_a_warmup_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match=r"warmup_iters .*\[0, 100\).*100"):
        multistep(100, [50], warmup_iters=100)
