import json

import pytest
import torch
from detectron2.config import LazyCall as L

from datasets_utils import register_digit_scenes
from projects.diffu_base.engine.build import build_model
from projects.diffu_base.engine.ema import EMAState
from projects.diffu_base.engine.evaluation import evaluate, evaluate_in_training, load_for_eval
from tests.projects.diffu_base.engine.runs import config, load, run
from tests.projects.diffu_base.engine.tiny import TinyDetector


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return folder, run(folder, "train.max_iter=3")


def eval_only(folder, *overrides, flags=()):
    return run(folder, *overrides, flags=("--eval-only", *flags))


def test_eval_only_repeats_the_evaluation_of_training(trained, tmp_path):
    folder, results = trained
    checkpoint = f"train.init_checkpoint={folder / 'model_final.pth'}"
    assert eval_only(tmp_path, checkpoint)["bbox"]["AP"] == results["bbox"]["AP"]
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["results"]["bbox"] == {"AP": results["bbox"]["AP"], "AP50": None}
    assert written["checkpoint"].endswith("model_final.pth")


def test_averaged_and_plain_weights_as_configured(trained, tmp_path):
    folder, results = trained
    checkpoint = f"train.init_checkpoint={folder / 'model_final.pth'}"
    plain = eval_only(tmp_path, checkpoint, "train.model_ema.use_ema_weights_for_eval_only=False")
    assert plain["bbox"]["AP"] != results["bbox"]["AP"]


def test_resume_takes_the_runs_last_checkpoint(trained):
    folder, results = trained
    config = (folder / "config.yaml").read_text()
    assert eval_only(folder, "train.log_period=7", flags=("--resume",))["bbox"]["AP"] == results["bbox"]["AP"]
    assert (folder / "config.yaml").read_text() == config, "the run's own config is not written over"


def test_evaluation_during_training_can_report_both(trained):
    cfg = config()
    model = build_model(cfg.model, "cpu")
    ema = EMAState(model, 0.5)
    torch.nn.init.constant_(model.head.bias, 3.0)
    suffixes = []

    def own(suffix):
        suffixes.append(suffix)
        return evaluate(model, cfg.dataloader)

    results = evaluate_in_training(own, model, ema, averages_first=True, both=True)
    assert results.keys() == {"bbox", "bbox_raw"} and suffixes == ["", "_raw"]
    assert results["bbox_raw"]["AP"] == own("")["bbox"]["AP"] != results["bbox"]["AP"]


class ShiftedBoxes(torch.nn.Module):
    def __init__(self, model, shift):
        super().__init__()
        self.model, self.shift = model, shift
        self.training = model.training

    def forward(self, batched_inputs):
        assert not self.model.training
        found = self.model(batched_inputs)
        for each in found:
            each["instances"].pred_boxes.tensor += self.shift
        return found


@pytest.mark.parametrize("training", [True, False])
def test_test_time_augmentation_wraps_the_model(training):
    cfg = config()
    model = build_model(cfg.model, "cpu").train(training)
    plain = evaluate(model, cfg.dataloader)["bbox"]["AP"]
    cfg.dataloader.test_time_augmentation = L(ShiftedBoxes)(shift=5.0)
    assert evaluate(model, cfg.dataloader)["bbox"]["AP"] == pytest.approx(plain + 5)
    assert model.training == training


def test_missing_average_is_explained(trained, tmp_path):
    torch.save({"model": TinyDetector().state_dict()}, tmp_path / "plain.pth")
    with pytest.raises(ValueError, match="use_ema_weights_for_eval_only=False"):
        eval_only(tmp_path, f"train.init_checkpoint={tmp_path / 'plain.pth'}")


def test_nothing_to_evaluate_is_explained(tmp_path):
    with pytest.raises(ValueError, match="train.init_checkpoint=FILE, or --resume"):
        eval_only(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        eval_only(tmp_path, f"train.init_checkpoint={tmp_path / 'absent.pth'}")


def test_a_backbone_alone_cannot_be_evaluated(tmp_path):
    state = {k: v for k, v in TinyDetector().state_dict().items() if k.startswith("backbone.")}
    torch.save(state, tmp_path / "backbone.pth")
    with pytest.raises(ValueError, match="backbone alone"):
        load_for_eval(build_model(config().model, "cpu"), str(tmp_path / "backbone.pth"), averaged=False)


@pytest.fixture
def no_scenes(tmp_path, monkeypatch):
    """The digit scenes' folder, empty."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    register_digit_scenes()
    yield tmp_path / "digit_scenes"
    monkeypatch.undo()
    register_digit_scenes()


@pytest.mark.parametrize("missing", ["annotations/instances_val.json", "val"])
@pytest.mark.parametrize("flags", [(), ("--eval-only",)], ids=["training", "evaluation"])
def test_missing_validation_data_stop_a_run_at_once(no_scenes, tmp_path, missing, flags):
    """And not at the first evaluation, thousands of iterations later."""
    if missing == "val":
        (no_scenes / "annotations").mkdir(parents=True)
        (no_scenes / "annotations" / "instances_val.json").write_text("{}")
    evaluator = ("_target_=datasets_utils.CocoStyleEvaluator", "dataset_name=digit_scenes_val")
    with pytest.raises(FileNotFoundError) as error:
        run(tmp_path / "run", *(f"+dataloader.evaluator.{setting}" for setting in evaluator), flags=flags)
    for part in (str(no_scenes / missing), "DETECTRON2_DATASETS", "python tools/build_digit_scenes.py"):
        assert part in str(error.value)
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_best_weights_are_those_of_the_best_evaluation(tmp_path):
    run(tmp_path, "train.eval_period=1", "train.checkpointer.best_mode=min")
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    values = [line["bbox/AP"] for line in lines if "bbox/AP" in line]
    best = load(tmp_path / "model_best.pth")
    assert best["best"]["value"] <= min(values) + 1e-9
    result = eval_only(tmp_path / "eval", f"train.init_checkpoint={tmp_path / 'model_best.pth'}")
    assert result["bbox"]["AP"] == pytest.approx(best["best"]["value"])
    assert "optimizer" not in str(best.keys())
