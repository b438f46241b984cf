"""Results as tables, COCO's results, pictures and supervision's detections."""

import csv
import json
from dataclasses import replace

import numpy as np
import pycocotools.mask as mask_utils
import pytest
from PIL import Image

from projects.diffu_base.api.results import ImageResult, Results
from projects.diffu_base.api.write import ResultWriter

GREY = np.full((40, 60, 3), 90, np.uint8)
MASKS = np.zeros((2, 40, 60), bool)
MASKS[0, 5:15, 10:30] = MASKS[1, 20:40, 0:60] = True


def result(name: str = "a/b.jpg", *, masks: bool = False, agreement: bool = False) -> ImageResult:
    return ImageResult(
        name=name,
        size=(40, 60),
        boxes=np.array([[10, 5, 30, 15], [0, 20, 60, 40]], np.float32),
        scores=np.array([0.75, 0.5], np.float32),
        labels=np.array([1, 0]),
        class_names=["cup", "ball"],
        category_ids=[7, 3],
        run_lengths=[mask_utils.encode(np.asfortranarray(m, np.uint8)) for m in MASKS] if masks else None,
        agreement=np.array([0.5, 0.25], np.float32) if agreement else None,
        read=lambda: GREY,
    )


def nothing() -> ImageResult:
    empty = np.zeros(0)
    return ImageResult("c.jpg", (40, 60), np.zeros((0, 4)), empty, empty, [], [], [], None, lambda: GREY)


def test_rows_are_a_table_and_a_csv_file(tmp_path):
    results = Results([result(), nothing()])
    assert results.rows()[0] == {
        "image": "a/b.jpg", "class": "cup", "score": 0.75, "x1": 10, "y1": 5, "x2": 30, "y2": 15
    }  # fmt: skip
    results.write_table(tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").open()))
    assert [row["class"] for row in rows] == ["cup", "ball"] and rows[1]["y2"] == "40.0"
    assert Results([result(agreement=True)]).rows()[1]["agreement"] == 0.25


def test_coco_results_have_category_ids_and_boxes_by_width_and_height(tmp_path):
    Results([nothing(), result(masks=True, agreement=True)]).write_coco(tmp_path / "r.json")
    first, second = json.loads((tmp_path / "r.json").read_text())
    assert first["image_id"] == 2 and first["file_name"] == "a/b.jpg" and first["category_id"] == 7
    assert first["bbox"] == [10, 5, 20, 10] and second["score"] == 0.5 and second["agreement"] == 0.25
    np.testing.assert_array_equal(mask_utils.decode(first["segmentation"]), MASKS[0])


def test_coco_results_take_the_ids_of_a_data_set():
    results = Results([result()])
    assert {entry["image_id"] for entry in results.to_coco({"b.jpg": 17})} == {17}
    assert {entry["image_id"] for entry in results.to_coco({"a/b.jpg": 18, "b.jpg": 17})} == {18}
    with pytest.raises(ValueError, match="image_ids has no id for 'a/b.jpg'"):
        results.to_coco({"c.jpg": 1})


def test_masks_are_decoded():
    np.testing.assert_array_equal(result(masks=True).masks, MASKS)
    assert result().masks is None and nothing().masks.shape == (0, 40, 60)


def test_supervision_gets_boxes_names_and_masks():
    pytest.importorskip("supervision")
    detections = result(masks=True, agreement=True).to_supervision()
    assert detections.xyxy.tolist() == [[10, 5, 30, 15], [0, 20, 60, 40]]
    assert detections["class_name"].tolist() == ["cup", "ball"] and detections["agreement"].tolist() == [0.5, 0.25]
    assert detections.class_id.tolist() == [1, 0] and detections.mask.sum() == MASKS.sum()
    assert len(nothing().to_supervision()) == 0


def test_a_picture_shows_boxes_and_masks_and_leaves_the_image():
    picture = result(masks=True).picture()
    assert picture.shape == GREY.shape and picture.dtype == np.uint8 and (GREY == 90).all()
    changed = (picture != 90).any(-1)
    assert changed[30, 0] and changed[39, 30] and changed[30, 30]  # an edge, and a mask within it
    assert not (result().picture() != 90).any(-1)[30, 30]
    assert (nothing().picture() == 90).all()


def test_a_picture_takes_boxes_that_reach_beyond_the_image_or_are_no_boxes():
    odd = result()
    odd.boxes[:] = [[-20, -30, 100, 200], [30, 20, 10, 5]]
    assert odd.picture().shape == GREY.shape


def test_a_line_counts_what_is_found():
    assert str(result()) == "a/b.jpg: 1 cup, 1 ball" and str(nothing()) == "c.jpg: nothing"


def test_images_that_the_draws_disagree_about_come_first():
    sure, unsure = result("sure", agreement=True), result("unsure", agreement=True)
    unsure.agreement[:] = [0.25, 0.0]
    empty = replace(nothing(), agreement=np.zeros(0, np.float32))
    assert unsure.uncertainty == pytest.approx(0.875) and empty.uncertainty == 0
    ranked = Results([empty, sure, unsure]).least_certain_first()
    assert [each.name for each in ranked] == ["unsure", "sure", "c.jpg"]
    with pytest.raises(ValueError, match="uncertainty needs several draws"):
        Results([result()]).least_certain_first()


def test_results_are_a_sequence():
    results = Results([result(), nothing()], {"d.jpg": "no such file"})
    assert len(results) == 2 and results[-1].name == "c.jpg" and len(results[:1]) == 1
    assert [each.name for each in results] == ["a/b.jpg", "c.jpg"] and results.unread == {"d.jpg": "no such file"}


def test_images_of_one_name_get_pictures_of_their_own(tmp_path):
    writer = ResultWriter(tmp_path / "out", pictures=True)
    for name in ("a/b.jpg", "c/b.png", "http://x/b.jpg?size=3", "images[3]"):
        writer.add(result(name))
    assert len(writer.finish()) == 4
    pictures = sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir())
    assert pictures == ["b-2.jpg", "b-3.jpg", "b.jpg", "images[3].jpg"]
    with Image.open(tmp_path / "out" / "pictures" / "b.jpg") as picture:
        assert picture.size == (60, 40)
