import pytest
from detectron2.config import LazyConfig, instantiate

from tests.projects.diffu_base.engine.runs import ROOT

SCHEDULES = ROOT / "configs" / "common" / "schedules.py"


def namespace() -> dict:
    """Everything in the config file, functions included."""
    names: dict = {"__name__": "schedules"}
    exec(compile(SCHEDULES.read_text(), str(SCHEDULES), "exec"), names)
    return names


@pytest.mark.parametrize(
    ("name", "decay", "end"), [("12ep", 11, 12), ("24ep", 20, 24), ("36ep", 30, 36), ("50ep", 40, 50)]
)
def test_coco_schedules_decay_once(name, decay, end):
    schedule = instantiate(LazyConfig.load(str(SCHEDULES))[f"lr_multiplier_{name}"])
    before, after = (decay * 7500 - 1) / (end * 7500), (decay * 7500 + 1) / (end * 7500)
    assert [schedule(x) for x in (0.0, before)] == [1.0, 1.0]
    assert [schedule(x) for x in (after, 0.99999)] == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize(("name", "decay", "end"), [("lvis_12ep", 68750, 75000), ("v3det_24ep", 458333, 550000)])
def test_long_tailed_schedules_decay_once(name, decay, end):
    config = LazyConfig.load(str(SCHEDULES))[f"lr_multiplier_{name}"]
    assert config.scheduler.num_updates == end
    schedule = instantiate(config)
    assert schedule((decay - 1) / end) == 1.0 and schedule((decay + 1) / end) == pytest.approx(0.1)


def test_multistep_by_iterations_with_warmup():
    schedule = instantiate(namespace()["multistep"](100, [50, 80], warmup_iters=10, warmup_factor=0.0))
    values = [schedule(i / 100) for i in (0, 5, 10, 49, 51, 79, 81, 99)]
    assert values == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("milestones", [[0], [100], [60, 50]])
def test_milestones_outside_the_run_are_errors(milestones):
    with pytest.raises(ValueError, match=r"milestones must increase inside \(0, 100\)"):
        namespace()["multistep"](100, milestones)


def test_warmup_longer_than_the_run_is_an_error():
    with pytest.raises(ValueError, match=r"warmup_iters must lie in \[0, 100\), got 100"):
        namespace()["multistep"](100, [50], warmup_iters=100)
