"""Data of every format that labelling tools write are found, and mean the same boxes."""

import json
import shutil
from pathlib import Path

import pytest
from hotcoco import COCO
from PIL import Image

from datasets_utils.check import check_coco_format
from datasets_utils.own_data import OwnData, find_own_data

SIZE = (60, 40)  # (width, height)
NAMES = ["cup", "ball"]
BOXES = [(1, [5.0, 4.0, 20.0, 10.0]), (2, [30.0, 20.0, 12.0, 8.0])]  # category id, xywh


def write_images(folder: Path, stems: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        Image.new("RGB", SIZE).save(folder / f"{stem}.jpg")


def coco(stems: list[str], prefix: str = "") -> dict:
    images = [
        {"id": i, "file_name": f"{prefix}{stem}.jpg", "width": SIZE[0], "height": SIZE[1]}
        for i, stem in enumerate(stems, start=1)
    ]
    boxes = [
        {"id": 2 * i + k, "image_id": i, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i in range(1, len(stems) + 1)
        for k, (c, box) in enumerate(BOXES)
    ]
    return {
        "images": images,
        "annotations": boxes,
        "categories": [{"id": i, "name": n} for i, n in enumerate(NAMES, 1)],
    }


def write_coco(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def as_coco_pair(root: Path) -> Path:
    for split, stems in (("train", ["a", "b", "c"]), ("val", ["d"])):
        write_images(root / split, stems)
        write_coco(root / "annotations" / f"instances_{split}2017.json", coco(stems))
    return root


def as_roboflow(root: Path) -> Path:
    for split, stems in (("train", ["a", "b", "c"]), ("valid", ["d"]), ("test", ["e"])):
        write_images(root / split, stems)
        content = coco(stems)
        names = [{**c, "supercategory": "things"} for c in content["categories"]]
        content["categories"] = [{"id": 0, "name": "things", "supercategory": "none"}, *names]
        write_coco(root / split / "_annotations.coco.json", content)
    return root


def as_cvat_coco(root: Path) -> Path:
    write_images(root / "images" / "train", ["a", "b", "c", "d"])
    write_coco(root / "annotations" / "instances_default.json", coco(["a", "b", "c", "d"], "train/"))
    return root


def as_fiftyone(root: Path) -> Path:
    write_images(root / "data", ["a", "b", "c", "d"])
    write_coco(root / "labels.json", coco(["a", "b", "c", "d"]))
    return root


def as_one_file(root: Path) -> Path:
    as_fiftyone(root)
    return root / "labels.json"


def as_yolo(root: Path) -> Path:
    for split, stems in (("train", ["a", "b", "c"]), ("val", ["d"])):
        write_images(root / "images" / split, stems)
        write_coco(root / "tmp" / "coco.json", coco(stems))
        COCO(str(root / "tmp" / "coco.json")).to_yolo(str(root / "labels" / split))
    shutil.rmtree(root / "tmp")
    for made in (root / "labels").rglob("data.yaml"):
        made.unlink()
    (root / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cup\n  1: ball\n")
    return root


def as_roboflow_yolo(root: Path) -> Path:
    as_yolo(root)
    for here, there in (("train", "train"), ("val", "valid")):
        (root / there).mkdir()
        for kind in ("images", "labels"):
            (root / kind / here).rename(root / there / kind)
    (root / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['cup', 'ball']\n")
    return root / "data.yaml"


def as_voc(root: Path) -> Path:
    stems = ["a", "b", "c", "d"]
    write_images(root / "JPEGImages", stems)
    write_coco(root.parent / "coco.json", coco(stems))
    COCO(str(root.parent / "coco.json")).to_voc(str(root))
    for split, listed in (("train", stems[:3]), ("val", stems[3:])):
        path = root / "ImageSets" / "Main" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(listed) + "\n")
    return root


def as_cvat_xml(root: Path) -> Path:
    stems = ["a", "b", "c", "d"]
    write_images(root / "images", stems)
    write_coco(root.parent / "coco.json", coco(stems))
    COCO(str(root.parent / "coco.json")).to_cvat(str(root / "annotations.xml"))
    return root


LAYOUTS = [
    as_coco_pair, as_roboflow, as_cvat_coco, as_fiftyone, as_one_file, as_yolo, as_roboflow_yolo, as_voc, as_cvat_xml,
]  # fmt: skip


@pytest.mark.parametrize("write", LAYOUTS)
def test_every_layout_gives_the_same_boxes(write, tmp_path: Path):
    found = find_own_data(write(tmp_path / "data"), work_dir=tmp_path / "work", val_share=0.25)
    assert found.val is not None
    reports = [check_coco_format(*files[:2], class_file=files.class_file) for files in (found.train, found.val)]
    assert [report.num_faults for report in reports] == [0, 0]
    parts = [json.loads(Path(files.json_file).read_text()) for files in (found.train, found.val)]
    assert [len(part["images"]) for part in parts] == [3, 1]
    for part in parts:
        names = {category["id"]: category["name"] for category in part["categories"]}
        assert set(names.values()) == set(NAMES)
        boxes = [(names[a["category_id"]], [round(x, 2) for x in a["bbox"]]) for a in part["annotations"]]
        # VOC counts pixels from 1, so a box may move by one.
        expected = [(NAMES[c - 1], box) for c, box in BOXES] * len(part["images"])
        assert sorted(name for name, _ in boxes) == sorted(name for name, _ in expected)
        for (_, ours), (_, theirs) in zip(sorted(boxes), sorted(expected), strict=True):
            assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 1


def test_files_in_coco_s_format_are_used_where_they_are(tmp_path: Path):
    root = as_coco_pair(tmp_path / "data")
    found = find_own_data(root, work_dir=tmp_path / "work")
    assert found.train.json_file == str(root / "annotations" / "instances_train2017.json")
    assert found.train.image_root == str(root / "train") and not (tmp_path / "work").exists()


def test_without_validation_data_and_without_a_split(tmp_path: Path):
    found = find_own_data(as_one_file(tmp_path / "data"), work_dir=tmp_path / "work", val_share=0)
    assert found.val is None and "without validation data" in found.layout


def test_a_test_part_stands_in_for_missing_validation_data(tmp_path: Path):
    root = as_roboflow(tmp_path / "data")
    shutil.rmtree(root / "valid")
    found = find_own_data(root, work_dir=tmp_path / "work")
    assert isinstance(found, OwnData) and found.val is not None and found.val.image_root == str(root / "test")


def test_polygons_of_yolo_become_masks(tmp_path: Path):
    root = as_yolo(tmp_path / "data")
    (root / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 1.0 0.5 1.0 1.0\n")
    content = json.loads(Path(find_own_data(root, work_dir=tmp_path / "work").train.json_file).read_text())
    (polygon,) = [a for a in content["annotations"] if a["image_id"] == 1]
    assert polygon["segmentation"] == [[30.0, 20.0, 60.0, 20.0, 60.0, 40.0]]
    assert polygon["bbox"] == [30.0, 20.0, 30.0, 20.0] and polygon["area"] == 300.0


def test_a_wrong_line_of_yolo_is_named(tmp_path: Path):
    root = as_yolo(tmp_path / "data")
    (root / "labels" / "train" / "b.txt").write_text("0 0.5 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n")
    with pytest.raises(ValueError, match=r"labels/train/b.txt, line 2 is '7 .*a class below 2"):
        find_own_data(root, work_dir=tmp_path / "work")


def test_what_is_missing_is_said(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file or folder"):
        find_own_data(tmp_path / "nowhere", work_dir=tmp_path)
    write_images(tmp_path / "bare", ["a"])
    with pytest.raises(ValueError, match="has no annotations to train on; known are COCO"):
        find_own_data(tmp_path / "bare", work_dir=tmp_path)
    root = as_fiftyone(tmp_path / "data")
    shutil.rmtree(root / "data")
    with pytest.raises(ValueError, match=r"images of .*labels.json are not there.*--images"):
        find_own_data(root, work_dir=tmp_path)
    root = as_coco_pair(tmp_path / "twice")
    shutil.copy(root / "annotations/instances_train2017.json", root / "annotations/keypoints_train2017.json")
    with pytest.raises(ValueError, match="several annotations for train: .*keypoints_train2017.json"):
        find_own_data(root, work_dir=tmp_path)
