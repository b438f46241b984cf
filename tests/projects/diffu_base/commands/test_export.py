"""`diffudetr export`: what it prints, and the user's mistakes. test_checked.py tests the files."""

import pytest
import torch
from PIL import Image

from projects.diffu_base.cli import main
from tests.support.model_folders import DINO, write_small_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="this PyTorch is too old to export"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_small_folder(tmp_path_factory.mktemp("models") / "m", DINO)


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.linear_gradient("L").convert("RGB").resize((96, 64)).save("photo.png")
    return "photo.png"


def export(folder, *options):
    return main(("export", "--format", "torch-export", "--model", str(folder), "--size", "64", "96", *options))


def test_export_writes_a_file_that_pytorch_runs_alone_and_tells_the_differences(folder, photo, capsys):
    assert export(folder, "--images", photo, "--output", "out/m.pt2", "--fixed-size") == 0
    written, batches, differences, times = capsys.readouterr().out.splitlines()
    assert written.startswith("out/m.pt2: ") and batches.startswith("1 batches of 64 x 96, ")
    assert differences.startswith("largest difference from PyTorch: boxes by ") and "ms by PyTorch" in times
    found = torch.export.load("out/m.pt2").module()(images=torch.zeros(1, 3, 64, 96))
    assert list(found) == ["boxes", "scores", "classes"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch", "0"), "--batch is 0"),
        (("--steps", "3"), "steps is 3; this model has no diffusion"),
        ((), "name some by --images"),
        (("--images", "gone.png"), "gone.png: cannot be read: no such file"),
        (("--model", "nowhere"), "there is no model 'nowhere'"),
    ],
)
def test_a_mistake_is_one_line(folder, photo, options, message, capsys, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", "nowhere")
    assert export(folder, *options) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
