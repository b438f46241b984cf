import json
import math
from pathlib import Path

import pytest
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import inference_on_dataset

from datasets_utils import coco_format
from datasets_utils.coco_file import load_coco_format
from datasets_utils.coco_format import CocoFiles, count_classes, register_coco_format
from tests.support.custom_tree import overrides, write_custom_tree
from tests.support.ground_truth_model import GroundTruthModel

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "common" / "data" / "custom_coco.py"


@pytest.fixture
def paths(tmp_path):
    return write_custom_tree(tmp_path)


@pytest.fixture
def faulty(tmp_path):
    return write_custom_tree(tmp_path, faulty=True)


def files(paths, split="train") -> CocoFiles:
    return CocoFiles(paths[f"{split}_json"], paths[f"{split}_images"], paths["train_json"])


def load(paths, *arguments: str):
    return LazyConfig.apply_overrides(LazyConfig.load(str(CONFIG)), [*overrides(paths), *arguments])


def keep_cups_alone(json_file: str) -> None:
    content = json.loads(Path(json_file).read_text())
    content["categories"] = [c for c in content["categories"] if c["id"] == 7]
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] == 7]
    Path(json_file).write_text(json.dumps(content))


def test_classes_are_the_categories_in_the_order_of_their_ids(paths, tmp_path):
    name = register_coco_format("own_train", files(paths), mended_dir=str(tmp_path / "mended"))
    metadata = MetadataCatalog.get(name)
    assert metadata.thing_classes == ["ball", "cup", "shoe"]
    assert metadata.thing_dataset_id_to_contiguous_id == {3: 0, 7: 1, 40: 2}
    assert count_classes(paths["train_json"]) == 3
    images = DatasetCatalog.get(name)
    assert [a["category_id"] for a in images[0]["annotations"]] == [1, 0]
    assert not (tmp_path / "mended").exists()  # nothing to mend


def test_validation_data_have_the_classes_of_the_training_data(paths, tmp_path):
    keep_cups_alone(paths["val_json"])
    register_coco_format("own_val", files(paths, "val"), mended_dir=str(tmp_path))
    assert {a["category_id"] for image in DatasetCatalog.get("own_val") for a in image["annotations"]} == {1}


def test_faulty_data_are_refused_with_the_report(faulty, tmp_path):
    with pytest.raises(ValueError, match=r"2 x degenerate box(.|\n)*drop_faulty=True"):
        register_coco_format("own_train", files(faulty), mended_dir=str(tmp_path))


def test_faults_are_left_out_on_request(faulty, tmp_path):
    register_coco_format("own_train", files(faulty), mended_dir=str(tmp_path / "mended"), drop_faulty=True)
    assert MetadataCatalog.get("own_train").json_file == str(tmp_path / "mended" / "own_train.json")
    images = DatasetCatalog.get("own_train")
    assert [image["image_id"] for image in images] == [1, 2, 3, 4, 105, 107, 108]
    assert MetadataCatalog.get("own_train").thing_classes == ["ball", "cup", "shoe"]


def test_annotations_without_what_evaluators_read_are_completed_without_asking(paths, tmp_path):
    with open(paths["val_json"]) as file:
        content = json.load(file)
    for annotation in content["annotations"]:
        for key in ("id", "area", "iscrowd"):
            annotation.pop(key)
    Path(paths["val_json"]).write_text(json.dumps(content))
    register_coco_format("own_val", files(paths, "val"), mended_dir=str(tmp_path / "mended"))
    with open(MetadataCatalog.get("own_val").json_file) as file:
        annotations = json.load(file)["annotations"]
    assert [a["id"] for a in annotations] == [1, 2, 3, 4]
    assert annotations[0]["area"] == 1200 and annotations[0]["iscrowd"] == 0


def test_data_are_read_once_for_the_check_the_loaders_and_the_evaluator(paths, tmp_path, monkeypatch):
    checked = []

    def count(json_file, *args, **kwargs):
        checked.append(Path(json_file).name)
        return check_coco_format(json_file, *args, **kwargs)

    check_coco_format = coco_format.check_coco_format
    monkeypatch.setattr(coco_format, "check_coco_format", count)
    monkeypatch.chdir(tmp_path)
    cfg = load(paths)
    instantiate(cfg.data_check)
    instantiate(cfg.dataloader.train), instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator)
    assert checked == ["train.json", "val.json"]


def test_the_check_tells_of_both_sets_before_it_refuses(faulty, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    cfg = load({**faulty, "val_json": faulty["train_json"], "val_images": faulty["val_images"]})
    with pytest.raises(ValueError) as error:
        instantiate(cfg.data_check)
    assert str(error.value).count("18 faults") == 1  # images of the training data are not in the other folder
    assert str(error.value).count("faults\n") == 2
    instantiate(load(faulty, "data.drop_faulty=True").data_check)


def test_images_without_boxes_are_for_evaluation_only(faulty, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    swapped = {"train_json": faulty["train_json"], "val_json": faulty["train_json"]}
    cfg = load({**faulty, **swapped, "val_images": faulty["train_images"]}, "data.drop_faulty=True")
    assert [image["image_id"] for image in instantiate(cfg.dataloader.train.dataset)] == [1, 2, 3, 4, 105]
    assert [image["image_id"] for image in instantiate(cfg.dataloader.test.dataset)] == [1, 2, 3, 4, 105, 107, 108]


def test_boxes_are_cut_off_at_the_border_and_crowds_left_out_for_training(faulty, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    cfg = load(faulty, "data.drop_faulty=True", "dataloader.train.total_batch_size=1")
    cfg.dataloader.train.mapper.augmentation = []
    cfg.dataloader.train.mapper.augmentation_with_crop = None
    image = next(d for d in instantiate(cfg.dataloader.train.dataset) if d["image_id"] == 1)
    boxes = instantiate(cfg.dataloader.train.mapper)(image)["instances"].gt_boxes.tensor
    assert [80, 40, 96, 60] in boxes.tolist() and len(boxes) == 6


@pytest.mark.parametrize(
    ("key", "name"), [("train_json", "json_file"), ("val_json", "json_file"), ("val_images", "image_root")]
)
def test_paths_that_were_not_named_are_asked_for(paths, key, name):
    with pytest.raises(ValueError, match=f"{name} is ''.*data.{key}="):
        instantiate(load({**paths, key: ""}).data_check)


def test_loading_a_faulty_file_unchecked_points_to_the_check(faulty, tmp_path):
    with open(faulty["val_json"]) as file:
        content = json.load(file)
    content["annotations"][0]["image_id"] = 999
    Path(faulty["val_json"]).write_text(json.dumps(content))
    with pytest.raises(ValueError, match="annotation 1 .*999.*tools/check_dataset.py"):
        load_coco_format(faulty["val_json"], faulty["val_images"], "own_unchecked")


def test_detections_of_classes_that_validation_data_lack_are_evaluated(paths, monkeypatch, tmp_path):
    keep_cups_alone(paths["val_json"])
    monkeypatch.chdir(tmp_path)
    dataloader = load(paths, "dataloader.test.num_workers=0").dataloader
    images = instantiate(dataloader.test.dataset)
    for image in images:  # a ball that is none
        image["annotations"].append({"bbox": [0, 0, 20, 20], "category_id": 0})
    results = inference_on_dataset(
        GroundTruthModel(images), instantiate(dataloader.test), instantiate(dataloader.evaluator)
    )["bbox"]
    assert results["AP"] == results["AP-cup"] == pytest.approx(100.0)
    assert math.isnan(results["AP-ball"])
