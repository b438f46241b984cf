"""From a folder to a trained, evaluated model by one command."""

import json
from pathlib import Path

import pytest

from datasets_utils.evaluation.saved import SavedDetections
from projects.diffu_base.api.model_folder import ModelInfo
from tests.projects.diffu_base.engine.runs import ROOT, torchrun
from tests.support.custom_tree import FAULTS, NOTES, overrides, write_custom_tree
from tools.train_net import argument_parser, main

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).resolve().parents[1] / "support" / "custom_config.py"


def run(paths: dict[str, str], output_dir: Path, *arguments: str, flags: tuple[str, ...] = ()) -> dict:
    arguments = (*flags, *overrides(paths), f"train.output_dir={output_dir}", *arguments)
    return main(argument_parser().parse_args(["--config-file", str(CONFIG), "--num-gpus", "0", *arguments]))


def test_trains_and_evaluates(tmp_path):
    paths = write_custom_tree(tmp_path)
    results = run(paths, tmp_path / "output")
    assert results["bbox"]["AP"] >= 0
    assert {name for name in results["bbox"] if name.startswith("AP-")} == {"AP-ball", "AP-cup", "AP-shoe"}
    assert "2 images, 4 annotations, 3 categories; 0 faults" in (tmp_path / "output" / "log.txt").read_text()


def test_training_and_evaluation_end_with_a_report_on_what_they_evaluated(tmp_path):
    paths = write_custom_tree(tmp_path)
    run(paths, tmp_path / "output", "train.eval_period=1")
    saved = SavedDetections.load(tmp_path / "output" / "detections.npz")
    assert saved.facts["iterations"] == 2 and saved.scored.class_names == ["ball", "cup", "shoe"]
    assert saved.facts["cost"]["boxes per image"] == "30" and saved.facts["cost"]["decoder evaluations"] == "3"
    assert saved.facts["cost"]["time per image"].endswith("in batches of 1, without reading the image")
    thresholds = json.loads((tmp_path / "output" / "thresholds.json").read_text())
    expected = [
        thresholds["threshold"] if row["threshold"] is None else row["threshold"] for row in thresholds["classes"]
    ]
    assert ModelInfo.read(tmp_path / "output" / "model_final").thresholds == expected
    checkpoint = str(tmp_path / "output" / "model_final.pth")
    run(paths, tmp_path / "evaluated", f"train.init_checkpoint={checkpoint}", flags=("--eval-only",))
    assert SavedDetections.load(tmp_path / "evaluated" / "detections.npz").facts["checkpoint"] == checkpoint
    for folder in ("output", "evaluated"):
        assert "What the model detects on custom_val" in (tmp_path / folder / "report.html").read_text()
        assert len(json.loads((tmp_path / folder / "thresholds.json").read_text())["classes"]) == 3


def test_a_run_may_end_without_a_report(tmp_path):
    run(write_custom_tree(tmp_path), tmp_path / "output", "train.report=False")
    assert (tmp_path / "output" / "detections.npz").is_file() and not (tmp_path / "output" / "report.html").exists()


def test_faulty_data_are_refused_fault_by_fault_and_train_without_the_faults(tmp_path):
    paths = write_custom_tree(tmp_path, faulty=True)
    with pytest.raises(ValueError, match=f"{sum(FAULTS.values())} faults") as refused:
        run(paths, tmp_path / "output")
    assert not list((tmp_path / "output").glob("*.pth"))
    results = run(paths, tmp_path / "output", "data.drop_faulty=True")
    assert results["bbox"]["AP"] >= 0
    assert (tmp_path / "output" / "model_final.pth").is_file()
    log = (tmp_path / "output" / "log.txt").read_text()
    for kind, number in (FAULTS | NOTES).items():
        assert f"{number} x {kind} " in str(refused.value) and f"{number} x {kind} " in log
    kept = json.loads((tmp_path / "output" / "data" / "custom_train.json").read_text())
    assert len(kept["images"]) == 7


def test_evaluation_leaves_faulty_images_and_boxes_out_of_the_ground_truth(tmp_path):
    paths = write_custom_tree(tmp_path, faulty=True)
    paths |= {"val_json": paths["train_json"], "val_images": paths["train_images"]}
    results = run(paths, tmp_path / "output", "data.drop_faulty=True", f"dataloader.evaluator.output_dir={tmp_path}")
    predictions = json.loads((tmp_path / "coco_instances_results.json").read_text())
    assert {p["image_id"] for p in predictions} == {1, 2, 3, 4, 105, 107, 108}
    assert {p["category_id"] for p in predictions} <= {3, 7, 40}
    assert results["bbox"]["AP"] >= 0


def test_evaluation_alone_needs_no_training_images(tmp_path):
    paths = write_custom_tree(tmp_path)
    run(paths, tmp_path / "output")
    paths["train_images"] = ""
    checkpoint = f"train.init_checkpoint={tmp_path / 'output' / 'model_final.pth'}"
    results = run(paths, tmp_path / "evaluated", checkpoint, flags=("--eval-only",))
    assert results["bbox"]["AP"] >= 0


@pytest.mark.parametrize("drop_faulty", [False, True])
def test_processes_share_one_check(tmp_path, drop_faulty):
    paths = write_custom_tree(tmp_path, faulty=True)
    settings = (*overrides(paths), f"train.output_dir={tmp_path / 'output'}", f"data.drop_faulty={drop_faulty}")
    arguments = ["--config-file", str(CONFIG), "--num-gpus", "0", *settings]
    done = torchrun(2, ROOT / "tools" / "train_net.py", *arguments)
    assert (done.returncode == 0) == drop_faulty, done.stderr
    if drop_faulty:
        assert (tmp_path / "output" / "model_final.pth").is_file()
        of_the_others = next((tmp_path / "output").glob("log.txt.rank1")).read_text()
        assert "Checked" in of_the_others and "Checking" not in of_the_others
    else:
        assert "there are faults in the data" in done.stderr
