import json

import pytest
from PIL import Image

from datasets_utils.check import check_coco_format, mended
from datasets_utils.check_report import FAULTS, NOTES
from tests.support import custom_tree
from tests.support.custom_tree import write_custom_tree


@pytest.fixture
def paths(tmp_path):
    return write_custom_tree(tmp_path)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    paths = write_custom_tree(tmp_path_factory.mktemp("faulty"), faulty=True)
    return check_coco_format(paths["train_json"], paths["train_images"])


def change(path, edit):
    """Edit an annotation file in place."""
    with open(path) as file:
        content = json.load(file)
    edit(content)
    with open(path, "w") as file:
        json.dump(content, file)


def test_sound_data_have_no_faults(paths):
    report = check_coco_format(paths["val_json"], paths["val_images"], class_file=paths["train_json"])
    assert report.num_faults == 0 and not report.needs_mending
    assert report.sizes == {"images": 2, "annotations": 4, "categories": 3}
    assert set(report.counts) == {"category without boxes", "category ids with gaps"}


def test_the_faulty_tree_has_every_fault():
    assert custom_tree.FAULTS.keys() == FAULTS.keys() and custom_tree.NOTES.keys() == NOTES.keys()


@pytest.mark.parametrize("kind", [*FAULTS, *NOTES])
def test_every_fault_is_counted_and_shown(faulty, kind):
    expected = {**custom_tree.FAULTS, **custom_tree.NOTES}[kind]
    assert faulty.counts[kind] == expected
    assert f"{expected} x {kind} ({(FAULTS | NOTES)[kind]})" in str(faulty)
    assert 1 <= len(faulty.examples[kind]) <= 3


def test_examples_say_where_a_fault_is(faulty):
    text = str(faulty)
    for line in (
        "101.jpg: no such file",
        "103.jpg: image file is truncated",
        "104.jpg: the file has 96 x 64 pixels, its entry says 640 x 64",
        "106: 106.jpg and 1.jpg",
        "annotation 19 of image 1: bbox [5, 5, 0, 10]",
        "annotation 26 of image 1: category 999",
        "annotation 25 of image 777",
    ):
        assert line in text
    assert faulty.num_faults == sum(custom_tree.FAULTS.values()) and f"{faulty.num_faults} faults" in text


def test_mended_data_have_no_faults_and_keep_what_is_sound(faulty, tmp_path):
    content = mended(faulty)
    # 1 to 4 as they were; of 105's two entries one; 107 and 108, which have no boxes to train on.
    assert [image["id"] for image in content["images"]] == [1, 2, 3, 4, 105, 107, 108]
    # Eight of the images 1 to 4, two with notes and two with ids of others on image 1, one of 105, the crowd of 107.
    assert len(content["annotations"]) == 14
    assert [a["id"] for a in content["annotations"]] == list(range(1, 15))
    assert content["annotations"][-1]["area"] == 81
    (tmp_path / "mended.json").write_text(json.dumps(content))
    again = check_coco_format(tmp_path / "mended.json", faulty.image_root)
    assert again.num_faults == 0 and not again.needs_mending


def test_data_of_which_nothing_is_left_are_refused(paths):
    change(paths["val_json"], lambda content: [a.update(bbox=[0, 0, 0, 0]) for a in content["annotations"]])
    with pytest.raises(ValueError, match="no box is left(.|\n)*val.json(.|\n)*4 x degenerate box"):
        mended(check_coco_format(paths["val_json"], paths["val_images"]))


def test_categories_are_those_of_the_class_file(paths):
    def rename(content):
        content["categories"][1]["name"] = "globe"

    change(paths["val_json"], rename)
    own = check_coco_format(paths["val_json"], paths["val_images"])
    against_training = check_coco_format(paths["val_json"], paths["val_images"], class_file=paths["train_json"])
    assert own.num_faults == 0 and against_training.counts["unknown category"] == 2


def test_boxes_at_the_border_are_no_faults(paths):
    width, height = custom_tree.SIZE
    boxes = iter([[0, 0, width, height], [-0.9, 0, 3, height + 0.9], [width - 1, 0, 1, 1], [-1.1, 0, 5, 5]])
    change(paths["val_json"], lambda content: [a.update(bbox=next(boxes)) for a in content["annotations"]])
    report = check_coco_format(paths["val_json"], paths["val_images"])
    assert report.num_faults == 0 and report.counts["box reaching beyond the image"] == 1


def test_images_count_as_they_are_shown(paths):
    """A photograph that is stored sideways has the size that it is read with."""
    path = f"{paths['val_images']}/1.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        image.save(path, exif=exif)
    assert check_coco_format(paths["val_json"], paths["val_images"]).counts["image of another size"] == 1
    change(paths["val_json"], lambda content: content["images"][0].update(width=64, height=96))
    assert check_coco_format(paths["val_json"], paths["val_images"]).counts["image of another size"] == 0


def test_images_need_not_be_read(paths):
    with open(f"{paths['val_images']}/1.jpg", "w") as file:
        file.write("no image")
    assert check_coco_format(paths["val_json"], paths["val_images"]).counts["unreadable image"] == 1
    assert check_coco_format(paths["val_json"], paths["val_images"], read_images=False).num_faults == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("{", "JSON"),
        ("[]", "'images'.*images, annotations, categories"),
        ('{"images": [], "categories": []}', "'annotations'"),
    ],
)
def test_files_of_another_format_are_refused_by_name(paths, tmp_path, text, message):
    (tmp_path / "train.json").unlink()
    if text is not None:
        (tmp_path / "train.json").write_text(text)
    with pytest.raises(ValueError, match=f"train.json.*{message}"):
        check_coco_format(paths["train_json"], paths["train_images"])


def test_missing_folder_of_images_is_one_error(paths):
    with pytest.raises(ValueError, match="image folder.*nowhere"):
        check_coco_format(paths["train_json"], paths["train_images"] + "/nowhere")
