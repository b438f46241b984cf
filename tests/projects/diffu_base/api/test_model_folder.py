"""What a model folder holds, and that it needs nothing else."""

import json

import pytest
import torch
from detectron2.config import instantiate
from safetensors.torch import load_file

from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base import get_config
from projects.diffu_base.api.class_names import Classes
from projects.diffu_base.api.model_folder import (
    FILES,
    ModelInfo,
    info_of,
    is_model_folder,
    write_model_folder,
)
from projects.diffu_base.engine.ema import named_weights
from tests.support.custom_tree import overrides, write_custom_tree
from tests.support.model_folders import DIFFUSION_INST, small_config, write_small_folder


def test_the_folder_gives_the_model_back(tmp_path):
    folder = write_small_folder(tmp_path / "m", DIFFUSION_INST)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES) and is_model_folder(folder)
    model = instantiate(get_config(str(folder / "config.yaml")).model)
    report = load_weights(model, folder / "model.safetensors")
    assert not report.initialised and not report.ignored
    saved = load_file(folder / "model.safetensors")
    weights = named_weights(model)
    assert saved.keys() == weights.keys()
    assert all(torch.equal(saved[name], weight) for name, weight in weights.items())


def test_the_sidecar_knows_classes_size_format_and_versions(tmp_path):
    info = ModelInfo.read(write_small_folder(tmp_path / "m"))
    assert info.classes[0] == "person" and info.category_ids[-1] == 90 and info.thresholds is None
    assert (info.short_edge, info.max_size, info.input_format) == (64, 128, "RGB")  # of a small run
    assert info.weights == "plain" and info.versions["torch"] == torch.__version__


def test_an_existing_model_folder_is_replaced_but_nothing_else(tmp_path):
    first = write_small_folder(tmp_path / "m").joinpath("model.safetensors").read_bytes()
    assert write_small_folder(tmp_path / "m", seed=1).joinpath("model.safetensors").read_bytes() != first
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(ValueError, match="other exists and is no model folder"):
        write_small_folder(tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "other"]


def test_own_data_are_not_needed_to_build_the_model(tmp_path):
    data = write_custom_tree(tmp_path)
    cfg = get_config("diffu_dino/custom-r50-4scales", *overrides(data))
    cfg.model = small_config("projects/diffu_dino/configs/custom-r50-4scales.py").model
    model = instantiate(cfg.model)
    write_model_folder(tmp_path / "m", cfg, named_weights(model), info_of(cfg, num_classes=3, averaged=False))
    for path in (data["train_json"], data["val_json"]):
        (tmp_path / path).unlink()
    saved = get_config(str(tmp_path / "m" / "config.yaml"))
    assert instantiate(saved.model).num_classes == 3
    assert ModelInfo.read(tmp_path / "m").classes == ["ball", "cup", "shoe"]


def test_a_backbone_of_timm_is_not_downloaded_again(tmp_path):
    cfg = small_config()
    cfg.model.backbone.pretrained = True  # as TimmBackbone has it
    info = info_of(cfg, num_classes=80, averaged=True)
    write_model_folder(tmp_path / "m", cfg, {}, info)
    assert get_config(str(tmp_path / "m" / "config.yaml")).model.backbone.pretrained is False
    assert cfg.model.backbone.pretrained is True and info.weights == "averaged"


def test_thresholds_can_be_added_later(tmp_path):
    folder = write_small_folder(tmp_path / "m")
    info = ModelInfo.read(folder)
    info.model_copy(update={"thresholds": [0.25] * 80}).write(folder)
    assert ModelInfo.read(folder).thresholds == [0.25] * 80


def test_classes_without_known_names_are_numbered_with_a_warning(caplog):
    cfg = small_config()
    assert info_of(cfg, num_classes=2, averaged=False).classes == ["class 0", "class 1"]
    assert "names of the 2 classes are not known" in caplog.text
    with pytest.raises(ValueError, match="there are 1 names of classes; the model has 2 classes"):
        info_of(cfg, num_classes=2, averaged=False, classes=Classes(["cup"], [1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": [0.5]}, "thresholds has 1 entries; there are 80 classes"),
        ({"input_format": "HSV"}, "input_format"),
        ({"format": 2}, "format"),
    ],
)
def test_a_damaged_sidecar_is_named(tmp_path, change, message):
    path = write_small_folder(tmp_path / "m") / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"model.json is damaged.*{message}"):
        ModelInfo.read(tmp_path / "m")


def test_a_folder_that_lacks_a_file_is_no_model_folder(tmp_path):
    (write_small_folder(tmp_path / "m") / "config.yaml").unlink()
    with pytest.raises(ValueError, match="is no model folder: it has no config.yaml"):
        ModelInfo.read(tmp_path / "m")
