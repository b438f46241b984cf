import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from sklearn.datasets import load_digits

from datasets_utils.digit_scenes import DigitSceneSettings, build_digit_scenes
from datasets_utils.digit_scenes import scenes as digit_scenes
from datasets_utils.digit_scenes.glyphs import mask_to_polygons, photographs, scan_indices
from datasets_utils.digit_scenes.scenes import compose_scene


@pytest.fixture(params=["train", "val"])
def split(request):
    return request.param


@pytest.fixture
def coco(scenes_root, split):
    return COCO(scenes_root / "annotations" / f"instances_{split}.json")


def box_iou(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    overlap = max(w, 0) * max(h, 0)
    return overlap / (a[2] * a[3] + b[2] * b[3] - overlap)


def test_splits_share_no_scan_and_no_part_of_a_photograph():
    train, val = scan_indices("train"), scan_indices("val")
    assert not set(train) & set(val)
    assert len(train) + len(val) == 1797
    # Not even twice the same scan under two indices.
    scans = load_digits().data
    assert not {s.tobytes() for s in scans[train]} & {s.tobytes() for s in scans[val]}
    for left, right in zip(photographs("train"), photographs("val"), strict=True):
        assert left.width + right.width == 640


def test_every_digit_is_in_both_splits(split):
    assert set(load_digits().target[scan_indices(split)]) == set(range(10))


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


def test_masks_of_one_image_do_not_overlap(coco):
    for annotations in coco.imgToAnns.values():
        assert sum(coco.annToMask(a).astype(int) for a in annotations).max() == 1


def test_crowded_scenes_overlap_heavily_and_others_do_not(coco):
    heaviest = {True: [], False: []}
    for image_id, info in coco.imgs.items():
        boxes = [a["bbox"] for a in coco.imgToAnns[image_id]]
        pairs = [box_iou(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
        heaviest[info["crowded"]].append(max(pairs, default=0.0))
    assert max(heaviest[False]) < 0.1
    assert np.mean(heaviest[True]) > 0.25


def test_digits_keep_the_set_share_of_pixels_visible():
    settings = DigitSceneSettings(crowded_fraction=1.0, min_visible=1.0, seed=1)
    hidden = DigitSceneSettings(crowded_fraction=1.0, min_visible=0.3, seed=1)
    scenes = [compose_scene(settings, "train", i) for i in range(4)]
    # With nothing hidden each mask is a whole glyph, at least as high as the smallest digit.
    heights = [np.flatnonzero(m.any(1)) for scene in scenes for m in scene.masks]
    assert min(rows[-1] + 1 - rows[0] for rows in heights) >= settings.digit_size[0] - 2
    assert sum(map(len, (compose_scene(hidden, "train", i).masks for i in range(4)))) >= len(heights)


@pytest.mark.parametrize("num_train", [1, 5])
def test_a_scene_does_not_depend_on_how_many_there_are(num_train):
    scene = compose_scene(DigitSceneSettings(num_train=num_train, seed=7), "train", 0)
    again = compose_scene(DigitSceneSettings(num_train=1000, num_val=3, seed=7), "train", 0)
    np.testing.assert_array_equal(scene.image, again.image)
    assert scene.labels == again.labels


def test_seed_split_and_index_each_give_another_scene():
    first = compose_scene(DigitSceneSettings(seed=0, image_size=(112, 112)), "train", 0)
    for seed, split, index in ((1, "train", 0), (0, "val", 0), (0, "train", 1)):
        other = compose_scene(DigitSceneSettings(seed=seed, image_size=(112, 112)), split, index)
        assert (first.image != other.image).any()


def test_sizes_and_counts_stay_in_their_ranges():
    settings = DigitSceneSettings(image_size=(64, 80), num_digits=(1, 3), digit_size=(12, 20), seed=5)
    scenes = [compose_scene(settings, "val", i) for i in range(20)]
    assert {1, 2, 3} == {len(scene.labels) for scene in scenes}
    assert all(64 <= side <= 80 for scene in scenes for side in scene.image.shape[:2])


def test_building_again_does_nothing(scenes_root, scene_settings):
    marker = scenes_root / "settings.json"
    before = marker.stat().st_mtime_ns
    assert build_digit_scenes(scenes_root, scene_settings) is False
    assert marker.stat().st_mtime_ns == before


def test_other_settings_are_refused_unless_overwriting(tmp_path):
    root = tmp_path / "scenes"
    build_digit_scenes(root, DigitSceneSettings(num_train=1, num_val=1))
    with pytest.raises(ValueError, match=r"other settings.*'seed': \(0, 9\)"):
        build_digit_scenes(root, DigitSceneSettings(num_train=1, num_val=1, seed=9))
    assert build_digit_scenes(root, DigitSceneSettings(num_train=1, num_val=1, seed=9), overwrite=True) is True
    assert json.loads((root / "settings.json").read_text())["seed"] == 9
    assert [p.name for p in tmp_path.iterdir()] == ["scenes"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="does not hold digit scenes"):
        build_digit_scenes(tmp_path, DigitSceneSettings(num_train=1, num_val=1), overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_interrupted_build_leaves_nothing_behind(tmp_path, monkeypatch):
    composed = []

    def interrupted(settings, split, index):
        if composed:
            raise KeyboardInterrupt
        composed.append(index)
        return compose_scene(settings, split, index)

    monkeypatch.setattr(digit_scenes, "compose_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_digit_scenes(tmp_path / "scenes", DigitSceneSettings(num_train=2, num_val=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_size": (160, 140)}, r"image_size is \(160, 140\)"),
        ({"num_digits": (0, 4)}, r"num_digits is \(0, 4\)"),
        ({"digit_size": (20, 100)}, r"digit_size is \(20, 100\)"),
        ({"crowded_fraction": 1.5}, "crowded_fraction is 1.5"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_settings_that_give_no_scene_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        DigitSceneSettings(**wrong)


def test_polygons_keep_holes_and_parts():
    coco = COCO()
    coco.imgs = {1: {"height": 8, "width": 9}}
    mask = np.zeros((8, 9), bool)
    mask[0:5, 0:5] = True
    mask[1:4, 1:3] = False  # a hole beside the border
    mask[6:8, 6:9] = True  # a second part in the corner
    polygons = mask_to_polygons(mask)
    assert len(polygons) == 2
    rendered = coco.annToMask({"image_id": 1, "segmentation": polygons})
    np.testing.assert_array_equal(rendered.astype(bool), mask)
