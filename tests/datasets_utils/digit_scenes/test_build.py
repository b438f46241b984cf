import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from datasets_utils.digit_scenes import DigitSceneSettings, build, build_digit_scenes
from datasets_utils.digit_scenes.scenes import compose_scene


def test_coco_files_list_every_image_with_its_size(coco, scenes_root, scene_settings, split):
    assert len(coco.imgs) == scene_settings.num_scenes(split)
    for info in coco.imgs.values():
        with Image.open(scenes_root / split / info["file_name"]) as image:
            assert image.size == (info["width"], info["height"])
        assert isinstance(info["crowded"], bool)
    assert {c["id"]: c["name"] for c in coco.cats.values()} == {i + 1: str(i) for i in range(10)}


def test_polygons_give_back_the_visible_pixels(coco, scene_settings, split):
    for image_id in coco.imgs:
        scene = compose_scene(scene_settings, split, image_id - 1)
        annotations = coco.imgToAnns[image_id]
        assert [a["category_id"] - 1 for a in annotations] == scene.labels
        for annotation, mask in zip(annotations, scene.masks, strict=True):
            np.testing.assert_array_equal(coco.annToMask(annotation), mask)
            assert annotation["area"] == mask.sum()


def test_boxes_tightly_enclose_the_visible_pixels(coco):
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        x, y, w, h = annotation["bbox"]
        assert mask.sum() == mask[y : y + h, x : x + w].sum()
        assert mask[y].any() and mask[y + h - 1].any() and mask[:, x].any() and mask[:, x + w - 1].any()


def test_building_again_does_nothing(scenes_root, scene_settings):
    marker = scenes_root / "settings.json"
    before = marker.stat().st_mtime_ns
    assert build_digit_scenes(scenes_root, scene_settings) is False
    assert marker.stat().st_mtime_ns == before


def test_other_settings_are_refused_unless_overwriting(tmp_path):
    root = tmp_path / "scenes"
    build_digit_scenes(root, DigitSceneSettings(num_train=1, num_val=1))
    with pytest.raises(ValueError, match=r"'seed': \(0, 9\).*--overwrite"):
        build_digit_scenes(root, DigitSceneSettings(num_train=1, num_val=1, seed=9))
    assert build_digit_scenes(root, DigitSceneSettings(num_train=1, num_val=1, seed=9), overwrite=True) is True
    assert json.loads((root / "settings.json").read_text())["seed"] == 9
    assert [p.name for p in tmp_path.iterdir()] == ["scenes"]


def test_scenes_built_before_a_setting_existed_are_kept(tmp_path):
    settings = DigitSceneSettings(num_train=1, num_val=1)
    build_digit_scenes(tmp_path / "scenes", settings)
    marker = tmp_path / "scenes" / "settings.json"
    old = json.loads(marker.read_text())
    del old["lvis"], old["train_class_weights"]
    marker.write_text(json.dumps(old))
    assert build_digit_scenes(tmp_path / "scenes", settings) is False
    with pytest.raises(ValueError, match="train_class_weights"):
        build_digit_scenes(tmp_path / "scenes", replace(settings, train_class_weights=(1,) * 10))


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=str(tmp_path)):
        build_digit_scenes(tmp_path, DigitSceneSettings(num_train=1, num_val=1), overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_interrupted_build_leaves_nothing_behind(tmp_path, monkeypatch):
    composed = []

    def interrupted(settings, split, index):
        if composed:
            raise KeyboardInterrupt
        composed.append(index)
        return compose_scene(settings, split, index)

    monkeypatch.setattr(build, "compose_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_digit_scenes(tmp_path / "scenes", DigitSceneSettings(num_train=2, num_val=1))
    assert list(tmp_path.iterdir()) == []
