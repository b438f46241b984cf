"""What a data set is like."""

import pytest

from datasets_utils.own_data.facts import look_at

CONTENT = {
    "images": [{"id": 1, "width": 400, "height": 200}, {"id": 2, "width": 300, "height": 300}],
    "categories": [{"id": 9, "name": "rare"}, {"id": 4, "name": "common"}, {"id": 5, "name": "never"}],
    "annotations": [
        *({"image_id": 1, "category_id": 4, "bbox": [0, 0, 10, 40], "segmentation": [[0, 0, 9, 0, 9, 9]]},) * 30,
        {"image_id": 2, "category_id": 9, "bbox": [0, 0, 5, 5]},
        {"image_id": 2, "category_id": 4, "bbox": [0, 0, 5, 5], "iscrowd": 1},
        {"image_id": 2, "category_id": 4, "bbox": [0, 0, 5, 0]},
    ],
}


def test_counts_and_sizes_by_hand():
    facts = look_at(CONTENT)
    assert facts.objects_of_class == {"common": 30, "never": 0, "rare": 1}  # in the order of the ids
    assert (facts.num_images, facts.num_objects, facts.most_objects) == (2, 31, 30)
    assert (facts.short_edge, facts.aspect, facts.object_size) == (250.0, 2.0, 20.0)
    assert not facts.has_masks
    assert facts.warnings() == ["2 classes have few objects to learn from: never (0), rare (1)"]


def test_images_without_sizes_are_refused():
    with pytest.raises(ValueError, match="of 1 images none has a width and a height"):
        look_at({"images": [{"id": 1}], "annotations": [], "categories": []})
