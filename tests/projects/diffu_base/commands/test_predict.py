"""`diffudetr pack` and `diffudetr predict`, from a checkpoint to files."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from projects.diffu_base.cli import main
from tests.support.model_folders import write_small_folder
from tools.predict import main as tool

pytestmark = pytest.mark.slow

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_small_folder(tmp_path_factory.mktemp("models") / "m")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder `photos` with two images and a file that is none, in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("a (1), b=2.jpg", "ü.png"):
        Image.fromarray(IMAGE).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "text.jpg").write_text("no image")
    return tmp_path


def test_predict_writes_results_a_table_and_pictures_and_prints_a_line_for_each_image(folder, photos, capsys):
    options = ("--threshold", "0", "--boxes", "5", "--draws", "2", "--steps", "1", "--device", "cpu")
    assert main(("predict", "photos", "--model", str(folder), "--output", "out", *options)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("photos/a (1), b=2.jpg: ") and lines[1].startswith("photos/ü.png: ")
    assert lines[2].startswith("2 images, ") and lines[2].endswith("written: out")
    assert sorted(path.name for path in (photos / "out" / "pictures").iterdir()) == ["a (1), b=2.jpg", "ü.jpg"]
    entries = json.loads((photos / "out" / "detections.json").read_text())
    rows = list(csv.DictReader((photos / "out" / "detections.csv").open(encoding="utf-8")))
    assert len(entries) == len(rows) > 0 and {entry["image_id"] for entry in entries} == {1, 2}
    assert "agreement" in entries[0] and "agreement" in rows[0]


def test_predict_can_leave_the_pictures_out(folder, photos):
    options = ("--no-pictures", "--device", "cpu", "--boxes", "5")
    assert tool(("photos/ü.png", "--model", str(folder), "--output", "out", *options)) == 0
    assert sorted(path.name for path in (photos / "out").iterdir()) == ["detections.csv", "detections.json"]


@pytest.mark.parametrize(
    ("images", "model", "message"),
    [
        (["gone.jpg"], None, "gone.jpg: no such file"),
        (["nothing/*.jpg"], None, "no file fits the pattern 'nothing/*.jpg'"),
        (["photos"], "nowhere", "there is no model 'nowhere'"),
        (["photos"], "photos", "'photos' holds no model"),
        (["photos"], "photos/ü.png", "'photos/ü.png' is a file, but no checkpoint"),
        (["photos", "--steps", "0"], None, "steps is 0"),
        (["photos", "--threshold", "30"], None, "threshold is 30.0"),
        (["photos", "--dtype", "int8"], None, "dtype is 'int8'"),
        (["photos", "--device", "tpu9"], None, "device is 'tpu9'"),
    ],
)
def test_a_mistake_is_one_line(folder, photos, images, model, message, capsys):
    assert main(("predict", *images, "--model", model or str(folder), "--output", "out")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (photos / "out" / "detections.json").exists()


def test_pack_says_what_it_wrote(folder, photos, capsys):
    shutil.copy(folder / "model.safetensors", "weights.safetensors")
    assert main(("pack", str(folder / "config.yaml"), "weights.safetensors", "--output", "packed")) == 0
    assert capsys.readouterr().out == (
        "wrote packed: plain weights, 80 classes (person, bicycle, car, motorcycle, airplane, bus, train, truck, ...)\n"
    )
    assert main(("predict", "photos/ü.png", "--model", "packed", "--output", "out", "--device", "cpu")) == 0
    assert main(("pack", str(folder / "config.yaml"), "gone.pth", "--output", "packed")) == 2
