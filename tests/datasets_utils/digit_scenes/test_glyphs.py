import numpy as np
from pycocotools.coco import COCO
from sklearn.datasets import load_digits

from datasets_utils.digit_scenes.glyphs import mask_to_polygons, photographs, scan_indices


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
