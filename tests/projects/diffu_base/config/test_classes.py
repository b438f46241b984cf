"""The model has as many classes as its data, or the config is refused."""

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from datasets_utils import catalogs
from projects.diffu_base.config.checks import check_data, load_config
from tests.support.custom_tree import overrides, write_custom_tree

OWN = "diffu_dino/custom-r50-4scales"


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("diffu_dino/dino-resnet/coco-r50-4scales-50ep", 91, r"model.num_classes is 91; coco_2017_train.* 80 classes"),
        ("diffu_dino/demo/digits", 80, r"model.num_classes is 80; digit_scenes_train.* 10 classes"),
        ("diffu_dino/dino-resnet/lvis-r50-4scales-12ep", 80, r"model.num_classes is 80; lvis_v1_train.* 1203 classes"),
        ("diffusion_inst/coco-r50-1x", 81, r"model.num_classes is 81; coco_2017_train.* 80 classes"),
    ],
)
def test_another_number_than_the_data_set_has(name: str, wrong: int, message: str):
    with pytest.raises(ValueError, match=message):
        load_config(name, [f"model.num_classes={wrong}"], num_gpus=0)


def test_another_number_than_the_evaluated_data_set_has():
    with pytest.raises(ValueError, match="model.num_classes is 80; digit_scenes_val, which dataloader.test loads"):
        load_config(
            "diffu_dino/dino-resnet/coco-r50-4scales-50ep",
            ["dataloader.test.dataset.names=digit_scenes_val"],
            num_gpus=0,
        )


def test_data_sets_whose_classes_are_not_known_yet_are_taken():
    load_config("diffu_dino/dino-resnet/v3det-r50-4scales-24ep", ["model.num_classes=5"], num_gpus=0)
    load_config(
        "diffu_dino/demo/digits",
        [
            "dataloader.train.dataset.names=mine_train",
            "dataloader.test.dataset.names=[mine_val]",
            "model.num_classes=5",
        ],
        num_gpus=0,
    )


@pytest.mark.parametrize("training", [True, False])
def test_own_data_have_three_classes(tmp_path, training: bool):
    settings = overrides(write_custom_tree(tmp_path))
    cfg = load_config(OWN, [*settings, "model.num_classes=4"], num_gpus=0)
    with pytest.raises(ValueError, match="model.num_classes is 4; custom_train, .* has 3 classes"):
        check_data(cfg, training=training)
    check_data(load_config(OWN, [*settings, "model.num_classes=3"], num_gpus=0), training=training)
    check_data(load_config(OWN, settings, num_gpus=0), training=training)


def by_this_project(name: str, json_file: str, images: str) -> None:
    catalogs.register(catalogs.DataSet.of_coco_format(name, json_file, images, source="...", evaluator_type="coco"))


def by_detectron2(name: str, json_file: str, images: str) -> None:
    register_coco_instances(name, {}, json_file, images)


@pytest.mark.parametrize("register", [by_this_project, by_detectron2])
def test_a_registered_data_set_that_names_no_classes_has_those_of_its_annotations(tmp_path, register):
    paths = write_custom_tree(tmp_path)
    names = ["unnamed_classes_train", "unnamed_classes_val"]
    try:
        for name, split in zip(names, ("train", "val"), strict=True):
            register(name, paths[f"{split}_json"], paths[f"{split}_images"])
        settings = [f"dataloader.{part}.dataset.names={n}" for part, n in zip(("train", "test"), names, strict=True)]
        cfg = load_config("diffu_dino/demo/digits", [*settings, "model.num_classes=4"], num_gpus=0)
        with pytest.raises(ValueError, match="model.num_classes is 4; unnamed_classes_train, .* has 3 classes"):
            check_data(cfg, training=True)
        check_data(load_config("diffu_dino/demo/digits", [*settings, "model.num_classes=3"], num_gpus=0), training=True)
    finally:
        for name in names:
            for catalog in (DatasetCatalog, MetadataCatalog):
                if name in catalog.list():
                    catalog.remove(name)
