"""Where the names of classes come from."""

import json

import pytest
from detectron2.data import MetadataCatalog
from omegaconf import OmegaConf

from projects.diffu_base import get_config
from projects.diffu_base.api.class_names import Classes, classes_of_config, classes_of_file, numbered_classes
from tests.support.custom_tree import overrides, write_custom_tree


def test_names_and_ids_of_coco_are_known_without_its_files():
    classes = classes_of_config(get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep"))
    assert classes.names[:2] == ["person", "bicycle"] and classes.names[-1] == "toothbrush"
    assert len(classes.names) == 80 and classes.ids[-1] == 90


def test_own_data_have_the_categories_of_the_training_file_by_id(tmp_path):
    data = write_custom_tree(tmp_path)
    cfg = get_config("diffu_dino/custom-r50-4scales", *overrides(data))
    assert classes_of_config(cfg) == Classes(["ball", "cup", "shoe"], [3, 7, 40])
    assert classes_of_file(data["train_json"]) == Classes(["ball", "cup", "shoe"], [3, 7, 40])


def test_a_registered_data_set_without_names_has_those_of_its_annotations(tmp_path):
    data = write_custom_tree(tmp_path)
    MetadataCatalog.get("without_names").set(json_file=data["train_json"])
    cfg = OmegaConf.create({"dataloader": {"test": {"dataset": {"names": ["without_names"]}}}})
    assert classes_of_config(cfg).names == ["ball", "cup", "shoe"]
    MetadataCatalog.remove("without_names")


@pytest.mark.parametrize("cfg", [{}, {"dataloader": {}}, {"dataloader": {"train": {"dataset": {"names": "no_such"}}}}])
def test_unknown_data_name_no_classes(cfg):
    assert classes_of_config(OmegaConf.create(cfg)) is None


def test_own_data_that_are_gone_name_no_classes():
    assert classes_of_config(get_config("diffu_dino/custom-r50-4scales", "data.train_json=gone.json")) is None


def test_a_text_names_a_class_in_each_line(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("cup\n\n  red ball \n")
    assert classes_of_file(path) == Classes(["cup", "red ball"], [1, 2])
    path.write_text("cup\ncup\n")
    with pytest.raises(ValueError, match="names 1 classes in 2 lines"):
        classes_of_file(path)


def test_a_file_that_is_no_annotation_file_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([1]))
    with pytest.raises(ValueError, match="a.json"):
        classes_of_file(path)


def test_numbers_in_the_place_of_names():
    assert numbered_classes(2) == Classes(["class 0", "class 1"], [1, 2])
