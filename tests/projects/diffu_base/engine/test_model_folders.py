"""A training writes model folders of its weights, with which prediction works."""

import json
from pathlib import Path

import pytest
import torch

from layers_diffu_detr.checkpoint_file import read_checkpoint
from projects.diffu_base import from_pretrained
from projects.diffu_base.api.model_folder import ModelInfo, is_model_folder
from tests.support.custom_tree import overrides, write_custom_tree
from tools.train_net import argument_parser, main

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).resolve().parents[3] / "support" / "custom_config.py"
EMA = "train.model_ema"


def train(root: Path, *arguments: str) -> Path:
    data = overrides(write_custom_tree(root))
    output = root / "out"
    run = ["--config-file", str(CONFIG), "--num-gpus", "0", *data, f"train.output_dir={output}", *arguments]
    main(argument_parser().parse_args(run))
    return output


def test_the_folders_of_the_final_and_the_best_weights_hold_the_averages(tmp_path):
    output = train(tmp_path, f"{EMA}.enabled=True", f"{EMA}.use_ema_weights_for_eval_only=True")
    folder = output / "model_final"
    checkpoint = torch.load(output / "model_final.pth", weights_only=True)
    saved = read_checkpoint(folder / "model.safetensors")
    assert saved.keys() == checkpoint["ema_state"].keys()
    assert all(torch.equal(saved[name], average) for name, average in checkpoint["ema_state"].items())
    info = ModelInfo.read(folder)
    assert info.weights == "averaged" and info.classes == ["ball", "cup", "shoe"] and info.category_ids == [3, 7, 40]
    results = json.loads((output / "results.json").read_text())
    assert info.results == results["results"] and info.iterations == results["iterations"]
    for path in (tmp_path / "train.json", tmp_path / "val.json"):
        path.unlink()
    detector = from_pretrained(output, device="cpu")
    found = detector.predict(tmp_path / "val", threshold=0.0)
    assert len(found) == 2 and set(found[0].class_names) <= {"ball", "cup", "shoe"}


def test_plain_weights_and_the_best_model(tmp_path):
    best = ("train.checkpointer.best_metric=bbox/AP", "train.eval_period=1", f"{EMA}.enabled=False")
    output = train(tmp_path, *best)
    assert is_model_folder(output / "model_best")
    weights = torch.load(output / "model_best.pth", weights_only=True)
    saved = read_checkpoint(output / "model_best" / "model.safetensors")
    assert all(torch.equal(value, weights["model"][name]) for name, value in saved.items())
    info = ModelInfo.read(output / "model_best")
    assert info.weights == "plain" and info.iterations == weights["best"]["iteration"] + 1
    assert info.results["bbox"]["AP"] == pytest.approx(weights["best"]["value"])
    data = overrides(write_custom_tree(tmp_path / "again"))
    again = ["--config-file", str(CONFIG), "--num-gpus", "0", *data, f"train.output_dir={output}"]
    main(argument_parser().parse_args([*again, "train.start_over=True"]))
    assert is_model_folder(output / "previous_1" / "model_best") and not (output / "model_best").exists()
