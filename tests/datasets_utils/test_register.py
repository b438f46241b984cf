import os
import subprocess
import sys
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

import datasets_utils
from datasets_utils.register import digit_scenes_root
from tests.support.coco_tree import write_coco_tree

ROOT = Path(__file__).resolve().parents[2]


def test_registered_scenes_load_with_contiguous_classes(registered_scenes, scene_settings):
    scenes = DatasetCatalog.get("digit_scenes_val")
    assert len(scenes) == scene_settings.num_val
    assert {a["category_id"] for s in scenes for a in s["annotations"]} <= set(range(10))
    assert MetadataCatalog.get("digit_scenes_val").thing_classes == [str(i) for i in range(10)]


def test_registering_again_is_harmless_and_the_last_root_counts(registered_scenes, scenes_root, tmp_path):
    datasets_utils.register_digit_scenes(scenes_root)
    DatasetCatalog.get("digit_scenes_train")
    datasets_utils.register_digit_scenes(tmp_path)
    assert MetadataCatalog.get("digit_scenes_train").image_root == str(tmp_path / "train")


def test_missing_scenes_name_folder_variable_and_command(registered_scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    datasets_utils.register_digit_scenes()
    assert digit_scenes_root() == tmp_path / "digit_scenes"
    with pytest.raises(FileNotFoundError) as error:
        DatasetCatalog.get("digit_scenes_train")
    for part in (str(tmp_path / "digit_scenes"), "DETECTRON2_DATASETS", "python tools/build_digit_scenes.py"):
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["coco_2017_train", "coco_2017_val"])
def test_missing_coco_names_folder_variable_and_source(name):
    with pytest.raises(FileNotFoundError) as error:
        DatasetCatalog.get(name)
    assert MetadataCatalog.get(name).json_file in str(error.value)
    for part in ("DETECTRON2_DATASETS", "annotations_trainval2017.zip", "cocodataset.org"):
        assert part in str(error.value)


def test_coco_is_detectron2s_where_it_is_there(tmp_path):
    datasets_utils.register.explain_missing_coco()  # once more changes nothing
    write_coco_tree(tmp_path)
    environment = {**os.environ, "DETECTRON2_DATASETS": str(tmp_path), "PYTHONPATH": str(ROOT)}
    script = "import datasets_utils, detectron2.data as d; print(len(d.DatasetCatalog.get('coco_2017_train')))"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "8"
