from pathlib import Path

import pytest
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data import transforms as T
from detectron2.evaluation import inference_on_dataset

from datasets_utils import FastResizeShortestEdge
from datasets_utils.digit_scenes import DigitSceneSettings
from tests.support.ground_truth_model import GroundTruthModel

CONFIGS = Path(__file__).parents[2] / "configs/common/data"


@pytest.fixture(params=["coco_detr.py", "digit_scenes.py"])
def cfg(request, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # configs work from any directory
    return LazyConfig.load(str(CONFIGS / request.param))


def on_digit_scenes(cfg):
    cfg.dataloader.train.dataset.names = "digit_scenes_train"
    cfg.dataloader.test.dataset.names = "digit_scenes_val"
    cfg.dataloader.train.total_batch_size = 2
    cfg.dataloader.train.num_workers = cfg.dataloader.test.num_workers = 0
    return cfg.dataloader


def test_loaders_give_batches(cfg, registered_scenes, scene_settings):
    dataloader = on_digit_scenes(cfg)
    batch = next(iter(instantiate(dataloader.train)))
    assert len(batch) == 2 and all(len(inputs["instances"]) for inputs in batch)
    assert sum(map(len, instantiate(dataloader.test))) == scene_settings.num_val


def test_evaluating_the_ground_truth_gives_full_average_precision(cfg, registered_scenes):
    dataloader = on_digit_scenes(cfg)
    model = GroundTruthModel(DatasetCatalog.get("digit_scenes_val"))
    results = inference_on_dataset(model, instantiate(dataloader.test), instantiate(dataloader.evaluator))
    assert results["bbox"]["AP"] == pytest.approx(100.0)


def test_coco_training_edges_and_crop_are_those_of_detr():
    mapper = LazyConfig.load(str(CONFIGS / "coco_detr.py")).dataloader.train.mapper
    edges = [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800]
    assert list(mapper.augmentation[1].short_edge_length) == edges
    assert list(mapper.augmentation_with_crop[3].short_edge_length) == edges
    assert list(mapper.augmentation_with_crop[2].crop_size) == [384, 600]


def test_training_resizes_fast_and_evaluation_by_pillow(cfg):
    def resizings(mapper):
        lists = [mapper.augmentation, mapper.augmentation_with_crop]
        return {type(a) for some in lists if some is not None for a in some.augs if isinstance(a, T.ResizeShortestEdge)}

    assert resizings(instantiate(cfg.dataloader.train.mapper)) == {FastResizeShortestEdge}
    assert FastResizeShortestEdge not in resizings(instantiate(cfg.dataloader.test.mapper))


def test_the_config_sets_the_scenes():
    cfg = LazyConfig.load(str(CONFIGS / "digit_scenes.py"))
    LazyConfig.apply_overrides(cfg, ["digit_scenes.num_digits=[3,5]", "digit_scenes.crowded_fraction=1.0"])
    settings = instantiate(cfg.digit_scenes)
    assert settings == DigitSceneSettings(num_digits=(3, 5), crowded_fraction=1.0)


def test_metadata_is_enough_for_an_evaluator_that_loaded_no_data(registered_scenes):
    assert MetadataCatalog.get("digit_scenes_val").thing_dataset_id_to_contiguous_id[1] == 0
