import json
from pathlib import Path

import pytest

from datasets_utils.register import register_digit_scenes
from tests.support.custom_tree import FAULTS, overrides, write_custom_tree
from tools.check_dataset import main

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "common" / "data"
CUSTOM = ["--config-file", str(CONFIGS / "custom_coco.py")]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_custom_tree(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    return write_custom_tree(tmp_path_factory.mktemp("faulty"), faulty=True)


def test_two_paths_are_enough(sound, faulty, capsys):
    assert main([sound["train_json"], sound["train_images"]]) == 0
    assert f"{sound['train_json']}, images in {sound['train_images']}: 4 images, 8 anno" in capsys.readouterr().out
    assert main([faulty["train_json"], faulty["train_images"]]) == 1
    out = capsys.readouterr().out
    assert all(f"{number} x {kind}" in out for kind, number in FAULTS.items())


def test_a_config_is_checked_training_and_test_data_alike(sound, faulty, capsys):
    assert main([*CUSTOM, *overrides(sound)]) == 0
    assert capsys.readouterr().out.count("0 faults") == 2
    assert main([*CUSTOM, *overrides({**sound, "val_json": faulty["train_json"]}), "--quick"]) == 1
    out = capsys.readouterr().out
    assert out.count("faults\n") == 2 and "unreadable" not in out


def test_registered_data_sets_are_found(scene_tree, capsys):
    assert main(["--config-file", str(CONFIGS / "digit_scenes.py")]) == 0
    assert "2 images" in capsys.readouterr().out


@pytest.fixture
def scene_tree(tmp_path):
    from datasets_utils.digit_scenes import DigitSceneSettings, build_digit_scenes

    build_digit_scenes(tmp_path / "scenes", DigitSceneSettings(num_train=2, num_val=1))
    register_digit_scenes(tmp_path / "scenes")
    yield
    register_digit_scenes()


def test_mended_annotations_are_sound(faulty, tmp_path, capsys):
    path = tmp_path / "mended.json"
    assert main([faulty["train_json"], faulty["train_images"], "--write-mended", str(path)]) == 1
    assert len(json.loads(path.read_text())["images"]) == 7
    assert main([str(path), faulty["train_images"]]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json", "."], "annotation file 'nowhere.json': no such file"),
        ([*CUSTOM, "data.train_jsn=x"], "no 'train_jsn' in data; there is train_json"),
        (CUSTOM, "json_file is ''; it must be a path.*data.train_json=FILE"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        main(arguments)


def test_missing_data_name_the_variable(tmp_path):
    register_digit_scenes(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"nowhere.*\$DETECTRON2_DATASETS.*build_digit_scenes.py"):
        main(["--config-file", str(CONFIGS / "digit_scenes.py")])
    register_digit_scenes()
