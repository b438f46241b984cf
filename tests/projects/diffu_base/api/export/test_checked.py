"""Exported files, run and compared with PyTorch."""

import json

import numpy as np
import pytest
import torch
from detectron2.config import instantiate

from projects.diffu_base.api.export import checked
from projects.diffu_base.api.export.checked import InputSize, export_detector, noise_file
from projects.diffu_base.api.export.formats import INFO, OnnxFormat, TorchExportFormat
from projects.diffu_base.api.export.parity import Difference
from tests.projects.diffusion_inst.tiny import tiny_model as tiny_diffusion_inst
from tests.support.tiny_models import tiny_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="this PyTorch is too old to export"),
]
pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")

SIZE = (64, 96)
SIZES = [SIZE, (130, 90)]
IMAGES = [np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8) for size in SIZES]


def smallest(name, **overrides):
    """A model of one decoder layer and two passes, with detections of many scores."""
    config = tiny_config(name, **overrides)
    config.transformer.decoder.num_layers = 1
    torch.manual_seed(0)
    model = instantiate(config).eval()
    for weight in model.class_embed.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    if model.diffusion is not None:
        model.sampler.num_steps = 2
    return model


def test_an_onnx_file_for_images_of_any_size_detects_what_pytorch_detects(tmp_path):
    path = tmp_path / "m.onnx"
    report = export_detector(
        smallest("diffu_dino_r50"), path, OnnxFormat(), size=InputSize(*SIZE), images=IMAGES, info={"classes": ["a"]}
    )
    assert report.sizes == [(64, 96), (92, 64)] and report.difference.small and report.difference.detections > 0
    assert np.load(noise_file(path)).shape == (3, 30, 4)
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert [opset.version for opset in model.opset_import if opset.domain == ""] == [18]
    assert [each.name for each in model.graph.input] == ["images", "noise"]
    assert [each.name for each in model.graph.output] == ["boxes", "scores", "classes"]
    info = json.loads({each.key: each.value for each in model.metadata_props}[INFO])
    assert info["classes"] == ["a"] and info["input_format"] == "RGB" and info["steps"] == 2


def test_an_onnx_file_of_diffusion_inst_has_masks_and_takes_multiples_of_32(tmp_path):
    torch.manual_seed(0)
    model = tiny_diffusion_inst(num_heads=1, select_box_nums_for_evaluation=20)
    torch.nn.init.normal_(model.head.head_series[0].class_logits.weight, std=0.3)
    model.sampler.num_steps = 1
    path = tmp_path / "m.onnx"
    report = export_detector(model, path, OnnxFormat(), size=InputSize(*SIZE), images=IMAGES)
    assert report.sizes == [(64, 96), (96, 64)] and report.difference.small and report.difference.detections > 0
    assert [each.name for each in onnx.load(path).graph.output] == ["boxes", "scores", "classes", "masks"]
    with pytest.raises(ValueError, match="the size is 65 x 96; this model takes multiples of 32, or a fixed size"):
        export_detector(model, path, OnnxFormat(), size=InputSize(65, 96), images=IMAGES)


def test_a_torch_export_file_of_a_baseline_takes_batches_of_a_fixed_size(tmp_path):
    path = tmp_path / "m.pt2"
    form = TorchExportFormat()
    report = export_detector(smallest("dino_r50"), path, form, size=InputSize(*SIZE, 2, any_size=False), images=IMAGES)
    assert report.sizes == [SIZE] and report.difference.small
    assert path.is_file() and not noise_file(path).exists()
    extra = {INFO: ""}
    torch.export.load(path, extra_files=extra)
    assert json.loads(extra[INFO])["noise"] is None


def test_a_file_that_detects_other_things_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(checked, "difference", lambda found, expected, limit: Difference(1, pixels=0.5))
    with pytest.raises(ValueError, match="m.pt2 detects other things than PyTorch: boxes by 0.5 px"):
        export_detector(
            smallest("dino_r50"), tmp_path / "m.pt2", TorchExportFormat(), size=InputSize(*SIZE), images=IMAGES[:1]
        )
    assert not list(tmp_path.iterdir())
