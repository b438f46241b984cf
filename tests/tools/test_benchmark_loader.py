import re
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from tests.support.coco_tree import write_coco_tree
from tools.benchmark_loader import Stopwatch, main, time_mapper

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def dataset_name(tmp_path):
    root, name = write_coco_tree(tmp_path) / "coco", "tiny_coco_to_benchmark"
    register_coco_instances(name, {}, str(root / "annotations/instances_train2017.json"), str(root / "train2017"))
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_prints_a_figure_of_every_stage_and_number_of_workers(dataset_name, capsys):
    config = str(ROOT / "configs/common/data/coco_detr.py")
    overrides = [f"dataloader.train.dataset.names={dataset_name}", "dataloader.train.total_batch_size=2"]
    main(["--config-file", config, "--images", "10", "--num-workers", "0,1", *overrides])
    figures = dict(re.findall(r"^  (\S.*?) +(\d+\.\d+)$", capsys.readouterr().out, flags=re.MULTILINE))
    assert [name for name in figures if not name.startswith("augmentation")] == [
        "whole mapper",
        "read and decode",
        "to tensor",
        "instances",
        "0 workers",
        "1 workers",
    ]
    assert {"augmentation.1 FastResizeShortestEdge", "augmentation_with_crop.2 RandomCrop"} < figures.keys()
    assert float(figures["whole mapper"]) > 0 and float(figures["1 workers"]) > 0


def test_other_mappers_are_timed_as_a_whole():
    seen = []
    assert list(time_mapper(seen.append, [{"image_id": 1}, {"image_id": 2}])) == ["whole mapper"]
    assert seen == [{"image_id": 1}, {"image_id": 2}]


def test_the_stopwatch_gives_the_mean_of_the_calls(monkeypatch):
    clock = iter([0.0, 0.5, 2.0, 2.25, 3.0, 3.125])
    monkeypatch.setattr("tools.benchmark_loader.time.perf_counter", lambda: next(clock))
    watch = Stopwatch()
    assert [watch("a", abs, -1), watch("b", abs, -2), watch("a", abs, -3)] == [1, 2, 3]
    assert watch.milliseconds() == {"a": 312.5, "b": 250.0}
