"""The demo, small: data, training, evaluation and pictures in one command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "train.max_iter=2",
    "train.eval_period=0",
    "model.num_queries=20",
    "digit_scenes.num_train=8",
    "digit_scenes.num_val=4",
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, str]:
    """Output folder and printed text of a demo of two iterations."""
    return run_demo(tmp_path_factory.mktemp("demo"))


def run_demo(folder: Path, *options: str) -> tuple[Path, str]:
    environment = {**os.environ, "DETECTRON2_DATASETS": str(folder / "datasets"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tools" / "demo.py"), "--output-dir", str(folder / "out"), "--num-gpus", "0"]
    done = subprocess.run(
        [*command, *options, *SMALL], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "out", done.stdout


def test_demo_prints_ap_at_1_3_and_5_decoder_evaluations_of_the_scenes_asked_for(demo):
    _, text = demo
    assert "Box AP on the 4 validation scenes" in text and "Mask AP" not in text
    for evaluations in ("1 decoder evaluation ", "3 decoder evaluations", "5 decoder evaluations"):
        assert f"  {evaluations}" in text


def test_last_line_of_the_demo_names_the_folder_of_its_pictures(demo):
    folder, text = demo
    assert text.rstrip().splitlines()[-1].endswith(str(folder / "pictures"))
    for picture in ("detections.png", "denoising.png", "training.png"):
        assert (folder / "pictures" / picture).stat().st_size > 10_000


def test_demo_of_a_model_with_masks_prints_mask_ap_too(tmp_path):
    config = ROOT / "projects" / "diffu_dino" / "configs" / "demo" / "digits-inst.py"
    _, text = run_demo(tmp_path, "--config-file", str(config))
    for name in ("Box", "Mask"):
        assert f"{name} AP on the 4 validation scenes:\n  1 decoder evaluation " in text


def test_demo_of_a_baseline_prints_its_one_evaluation_and_the_pictures_it_drew(tmp_path):
    config = ROOT / "projects" / "diffu_detr" / "configs" / "demo" / "baseline-deformable-detr-digits.py"
    _, text = run_demo(tmp_path, "--config-file", str(config))
    assert "  1 decoder evaluation " in text and "decoder evaluations  AP" not in text
    assert "Pictures (detections.png, training.png) are in" in text
