import os
import subprocess
import sys
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from tests.support.coco_tree import write_coco_tree

ROOT = Path(__file__).resolve().parents[2]


def test_registered_scenes_load_with_contiguous_classes(registered_scenes, scene_settings):
    scenes = DatasetCatalog.get("digit_scenes_val")
    assert len(scenes) == scene_settings.num_val
    assert {a["category_id"] for s in scenes for a in s["annotations"]} <= set(range(10))
    assert MetadataCatalog.get("digit_scenes_val").thing_classes == [str(i) for i in range(10)]


def test_coco_is_detectron2s_where_it_is_there(tmp_path):
    write_coco_tree(tmp_path)
    environment = {**os.environ, "DETECTRON2_DATASETS": str(tmp_path), "PYTHONPATH": str(ROOT)}
    script = "import datasets_utils, detectron2.data as d; print(len(d.DatasetCatalog.get('coco_2017_train')))"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "8"
