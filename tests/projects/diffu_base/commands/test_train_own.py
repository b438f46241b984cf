"""`diffudetr train DATA`: from a folder of labelled images to a trained model."""

import json
from pathlib import Path

import pytest
from PIL import Image

from projects.diffu_base.cli import main
from tests.support.custom_tree import write_custom_tree

pytestmark = pytest.mark.slow

TINY = [
    "model.embed_dim=32", "model.num_queries=20", "model.dn_number=4", "model.transformer.encoder.num_layers=1",
    "model.transformer.decoder.num_layers=2", "model.transformer.encoder.feedforward_dim=32",
    "model.transformer.decoder.feedforward_dim=32", "dataloader.train.num_workers=0", "dataloader.test.num_workers=0",
    "train.init_checkpoint=", "train.report=False", "train.seed=0",
]  # fmt: skip


def write_data(root: Path) -> Path:
    write_custom_tree(root, num_train=8)
    (root / "val.json").unlink()
    return root


def train(data: Path, output: Path, *arguments: str) -> int:
    return main(["train", str(data), "--output", str(output), "--num-gpus", "0", "--epochs", "1", *arguments, *TINY])


def test_a_folder_with_one_file_is_split_looked_at_and_trained_on(tmp_path: Path, capsys):
    assert train(write_data(tmp_path / "data"), tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "training data: 6 images, 12 objects: " in shown and "cup 6" in shown
    assert "boxes: " in shown and "resize: " in shown and "batch: 2 images per update" in shown
    assert "note: 3 classes have few objects" in shown
    assert (tmp_path / "out" / "model_final.pth").is_file() and (tmp_path / "out" / "model_best.pth").is_file()
    assert json.loads((tmp_path / "out" / "results.json").read_text())["results"]["bbox"]
    assert Image.open(tmp_path / "out" / "first_page.png").width > 200


def test_without_validation_data_it_trains_all_the_same(tmp_path: Path, capsys):
    assert train(write_data(tmp_path / "data"), tmp_path / "out", "--val-share", "0") == 0
    assert "training data: 8 images" in capsys.readouterr().out
    assert (tmp_path / "out" / "model_final.pth").is_file()
    assert not (tmp_path / "out" / "model_best.pth").exists()


def test_a_trained_model_is_the_start(tmp_path: Path):
    data = write_data(tmp_path / "data")
    assert train(data, tmp_path / "first") == 0
    start = [word for word in TINY if not word.startswith(("model.", "train.init"))]
    arguments = ["train", str(data), "--output", str(tmp_path / "second"), "--num-gpus", "0", "--epochs", "1"]
    assert main([*arguments, "--model", str(tmp_path / "first"), *start]) == 0
    assert "class rows kept 3" in (tmp_path / "second" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--model", "diffu_dino/custom-lite0-3scales"], "'nowhere': no such file or folder"),
        (["data", "--epochs", "0"], "--epochs is 0; it must be at least 1"),
        (["data", "--model", "diffusion_inst/custom-lite0"], "predicts masks, but the data have boxes alone"),
        (["data", "--model", "."], "is a folder without a trained model"),
    ],
)
def test_mistakes_end_in_one_line(arguments: list[str], message: str, tmp_path: Path, monkeypatch, capsys):
    write_data(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments, "--num-gpus", "0"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and message in line
