"""A run that gets no better ends; a terminal shows how far a run is."""

import pytest

from projects.diffu_base.config.options.train import TrainOptions
from tests.projects.diffu_base.engine.runs import load, run

CONSTANT_AP = ("optimizer.lr=0", "optimizer.weight_decay=0", "train.model_ema.enabled=False")


def test_a_run_ends_after_evaluations_without_a_better_metric(tmp_path):
    results = run(tmp_path, *CONSTANT_AP, "train.max_iter=20", "train.eval_period=2", "train.patience=2")
    # The first evaluation is the best; the second and the third are not better.
    assert load(tmp_path / "model_final.pth")["iteration"] == 5
    assert results["bbox"]["AP"] == load(tmp_path / "model_best.pth")["best"]["value"]
    assert "AP did not get better in 2 evaluations" in (tmp_path / "log.txt").read_text()


def test_patience_needs_a_metric_and_evaluations():
    with pytest.raises(ValueError, match="patience is 2; it needs checkpointer.best_metric"):
        TrainOptions.read({"patience": 2}, "train")


def test_without_a_terminal_there_is_no_bar(tmp_path, capfd):
    run(tmp_path, "train.max_iter=2", "train.progress_bar=True")
    assert "it/s" not in capfd.readouterr().err
