"""tools/train_net.py as a command, and as the code that other tools call."""

import json
import os
import subprocess
import sys

import pytest

from tests.projects.diffu_base.engine.runs import CONFIG, ROOT, run

pytestmark = pytest.mark.slow


def command(*arguments: str, cwd) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "train_net.py"), "--config-file", str(CONFIG), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_trains_from_any_directory_and_writes_everything(tmp_path):
    done = command("--num-gpus", "0", "train.output_dir=out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"model_final.pth", "model_best.pth", "last_checkpoint", "metrics.json", "config.yaml"} <= written
    assert {"results.json", "log.txt"} <= written
    assert any(name.startswith("events.out.tfevents") for name in written)
    metrics = [json.loads(line) for line in (tmp_path / "out" / "metrics.json").read_text().splitlines()]
    assert {"total_loss", "loss_l1", "lr", "bbox/AP"} <= set().union(*metrics)
    assert "eta: 0:00:0" in done.stdout
    log = (tmp_path / "out" / "log.txt").read_text()
    assert log.count("Best bbox/AP so far") == done.stdout.count("Best bbox/AP so far") > 0


def test_wrong_override_ends_before_training(tmp_path):
    with pytest.raises(ValueError, match="override 'train.max_itr': there is no 'max_itr'"):
        run(tmp_path / "out", "train.max_itr=2")
    assert not (tmp_path / "out").exists()


def test_another_runs_folder_is_not_overwritten(tmp_path):
    run(tmp_path, "train.max_iter=1")
    with pytest.raises(ValueError, match="--resume"):
        run(tmp_path)
    run(tmp_path, "train.max_iter=1", "train.start_over=True")
    assert (tmp_path / "previous_1" / "model_final.pth").is_file()


def test_initial_weights_are_loaded(tmp_path):
    run(tmp_path / "a", "train.max_iter=2")
    start = f"train.init_checkpoint={tmp_path / 'a' / 'model_final.pth'}"
    # no learning rate: the result is the loaded weights'
    resting = run(tmp_path / "b", start, "train.max_iter=1", "optimizer.lr=0", "train.model_ema.enabled=False")
    loaded = run(tmp_path / "c", start, flags=("--eval-only",))  # a training too starts from the averages
    assert "tensors loaded" in (tmp_path / "b" / "log.txt").read_text()
    assert resting["bbox"]["AP"] == pytest.approx(loaded["bbox"]["AP"], abs=1e-3)  # batch statistics moved


def test_non_finite_loss_is_replayed_from_the_command_line(tmp_path, capsys):
    with pytest.raises(FloatingPointError, match="iteration 2: .*--replay"):
        run(tmp_path, "model.nan_at=2")
    capsys.readouterr()
    run(tmp_path, "model.nan_at=3", flags=("--replay", str(tmp_path / "nonfinite_iter_0000002.pth")))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("loss_")]
    (_, l1, l1_run), (_, l2, l2_run) = lines
    assert l1 == l1_run and l2 == l2_run == "nan"


def test_wandb_is_asked_for_and_absent(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="train.wandb.enabled is True, but wandb is not installed"):
        run(tmp_path, "train.wandb.enabled=True")


def test_wandb_gets_every_scalar(tmp_path, monkeypatch):
    class Run:
        def __init__(self):
            self.logged, self.finished = {}, False

        def log(self, values, step):
            self.logged.setdefault(step, {}).update(values)

        def finish(self):
            self.finished = True

    wandb_run = Run()
    module = type(sys)("wandb")
    module.init = lambda **settings: wandb_run
    monkeypatch.setitem(sys.modules, "wandb", module)
    run(tmp_path, "train.wandb.enabled=True")
    assert {"total_loss", "lr"} <= wandb_run.logged[7].keys() and wandb_run.finished
    assert list(wandb_run.logged) == sorted(wandb_run.logged)
