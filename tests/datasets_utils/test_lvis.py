import json
from pathlib import Path

import pytest
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.lvis import load_lvis_json
from detectron2.evaluation import inference_on_dataset

from datasets_utils.lvis import register_lvis
from tests.support.ground_truth_model import GroundTruthModel
from tests.support.lvis_tree import used_categories, write_lvis_tree

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "common" / "data" / "lvis_detr.py"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_lvis_tree(tmp_path_factory.mktemp("datasets"))


@pytest.fixture
def registered(root):
    register_lvis(root)
    yield root
    register_lvis()


@pytest.mark.parametrize("split", ["train", "val", "minival"])
def test_loads_what_detectron2_loads_with_the_lvis_package(registered, split):
    pytest.importorskip("lvis", exc_type=ImportError)  # it needs OpenCV, and that libraries of the system
    name = f"lvis_v1_{split}"
    ours = DatasetCatalog.get(name)
    theirs = load_lvis_json(f"{registered}/lvis/{name}.json", f"{registered}/coco/", name)
    assert len(ours) == len(theirs) == {"train": 6, "val": 3, "minival": 3}[split]
    for image, expected in zip(ours, theirs, strict=True):
        for annotation in image["annotations"]:
            assert annotation.pop("iscrowd") == 0
        assert image == expected


def test_classes_are_those_of_lvis_in_the_order_of_the_ids(registered):
    metadata = MetadataCatalog.get("lvis_v1_val")
    assert len(metadata.thing_classes) == 1203 and metadata.thing_classes[0] == "aerosol_can"
    assert metadata.thing_dataset_id_to_contiguous_id[1203] == 1202
    assert metadata.evaluator_type == "lvis"
    labels = {a["category_id"] for image in DatasetCatalog.get("lvis_v1_train") for a in image["annotations"]}
    assert labels == {id_ - 1 for id_ in used_categories()}


def test_annotations_may_lie_in_a_folder_of_their_own_and_images_be_linked(root, tmp_path):
    (tmp_path / "lvis" / "annotations").mkdir(parents=True)
    (tmp_path / "lvis" / "val2017").symlink_to(root / "coco" / "val2017")
    source = root / "lvis" / "lvis_v1_val.json"
    (tmp_path / "lvis" / "annotations" / source.name).write_text(source.read_text())
    register_lvis(tmp_path)
    images = DatasetCatalog.get("lvis_v1_val")
    assert images[0]["file_name"].startswith(f"{tmp_path}/lvis/val2017/")
    register_lvis()


def test_file_names_are_taken_before_addresses(registered, tmp_path):
    content = json.loads((registered / "lvis" / "lvis_v1_val.json").read_text())
    for image in content["images"]:
        image["file_name"] = "elsewhere.jpg"
    (tmp_path / "lvis").mkdir()
    (tmp_path / "coco").mkdir()
    (tmp_path / "lvis" / "lvis_v1_val.json").write_text(json.dumps(content))
    register_lvis(tmp_path)
    assert DatasetCatalog.get("lvis_v1_val")[0]["file_name"] == f"{tmp_path}/coco/elsewhere.jpg"


def test_config_loads_batches_of_repeated_images_and_evaluates(registered, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    overrides = ["dataloader.train.num_workers=0", "dataloader.test.num_workers=0", "dataloader.train.repeat_thresh=1"]
    dataloader = LazyConfig.apply_overrides(LazyConfig.load(str(CONFIG)), overrides).dataloader
    dataloader.train.total_batch_size = 2
    loader = instantiate(dataloader.train)
    assert len(next(iter(loader))) == 2
    # Each of the six categories is in one or two of the five images that have objects.
    assert len(loader.batch_sampler.stream.repeat_factors) == 5
    assert loader.batch_sampler.stream.repeat_factors.max() == pytest.approx(5**0.5)

    model = GroundTruthModel(DatasetCatalog.get("lvis_v1_val"))
    results = inference_on_dataset(model, instantiate(dataloader.test), instantiate(dataloader.evaluator))["bbox"]
    for name in ("AP", "APr", "APc", "APf"):
        assert results[name] == pytest.approx(100.0)


def test_config_repeats_below_a_thousandth_and_counts_300_detections():
    dataloader = LazyConfig.load(str(CONFIG)).dataloader
    assert (dataloader.train.repeat_thresh, dataloader.evaluator.max_dets) == (0.001, 300)
    assert dataloader.train.total_batch_size == 16
