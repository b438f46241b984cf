from pathlib import Path

import pytest
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset

from datasets_utils.v3det import register_v3det
from tests.support.ground_truth_model import GroundTruthModel
from tests.support.v3det_tree import USED, write_v3det_tree

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "common" / "data" / "v3det_detr.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_v3det_tree(tmp_path_factory.mktemp("datasets"))


@pytest.fixture
def registered(root):
    register_v3det(root)
    yield root
    register_v3det()


@pytest.mark.parametrize(("split", "number"), [("train", 6), ("val", 3)])
def test_loads_images_of_every_folder_with_contiguous_classes(registered, split, number):
    images = DatasetCatalog.get(f"v3det_{split}")
    assert len(images) == number
    assert len({image["file_name"].split("/")[-2] for image in images}) == 2
    assert all(image["file_name"].startswith(f"{registered}/v3det/images/") for image in images)
    assert {a["category_id"] for image in images for a in image["annotations"]} == {id_ - 1 for id_ in USED}


def test_class_names_come_from_the_annotation_file(registered):
    DatasetCatalog.get("v3det_val")
    metadata = MetadataCatalog.get("v3det_val")
    assert len(metadata.thing_classes) == 13204 and metadata.thing_classes[699] == "thing 700"
    assert metadata.thing_dataset_id_to_contiguous_id[13204] == 13203


def test_missing_images_are_named_before_the_annotations_are_read(tmp_path):
    register_v3det(tmp_path)
    (tmp_path / "v3det" / "annotations").mkdir(parents=True)
    (tmp_path / "v3det" / "annotations" / "v3det_2023_v1_val.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/v3det/images"):
        DatasetCatalog.get("v3det_val")
    register_v3det()


def test_config_loads_batches_and_evaluates(registered, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    overrides = ["dataloader.train.num_workers=0", "dataloader.test.num_workers=0"]
    dataloader = LazyConfig.apply_overrides(LazyConfig.load(str(CONFIG)), overrides).dataloader
    dataloader.train.total_batch_size = 2
    assert len(next(iter(instantiate(dataloader.train)))) == 2
    model = GroundTruthModel(DatasetCatalog.get("v3det_val"))
    results = inference_on_dataset(model, instantiate(dataloader.test), instantiate(dataloader.evaluator))["bbox"]
    assert results["AP"] == pytest.approx(100.0)
    assert not any(name.startswith("AP-") for name in results)  # 13,204 of them would bury the rest


def test_config_has_the_settings_of_the_released_run():
    dataloader = LazyConfig.load(str(CONFIG)).dataloader
    assert (dataloader.train.repeat_thresh, dataloader.train.total_batch_size) == (0.001, 8)
    assert dataloader.evaluator.max_dets == 300
