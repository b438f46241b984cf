import numpy as np
import pytest

from datasets_utils.digit_scenes.scenes import DigitSceneSettings, compose_scene


def box_iou(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    overlap = max(w, 0) * max(h, 0)
    return overlap / (a[2] * a[3] + b[2] * b[3] - overlap)


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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"image_size": (160, 140)}, r"image_size.*\(160, 140\)"),
        ({"num_digits": (0, 4)}, r"num_digits.*\(0, 4\)"),
        ({"digit_size": (20, 100)}, r"digit_size.*\(20, 100\)"),
        ({"crowded_fraction": 1.5}, "crowded_fraction.*1.5"),
        ({"seed": -1}, "seed.*-1"),
        ({"train_class_weights": (1, 2)}, r"train_class_weights.*\(1.0, 2.0\).*10 numbers"),
        ({"train_class_weights": (-1, *range(9))}, "train_class_weights.*-1.0.*0 or more"),
        ({"train_class_weights": (0,) * 10}, "train_class_weights.*10 numbers"),
    ],
)
def test_settings_that_give_no_scene_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        DigitSceneSettings(**wrong)
