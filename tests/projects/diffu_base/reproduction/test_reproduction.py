"""The papers' tables beside what stand-ins of their rows reach."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

from projects.diffu_base.cli import main
from projects.diffu_base.config.files import find_config
from projects.diffu_base.engine.results import write_results
from projects.diffu_base.reproduction import evaluate as evaluation_module
from projects.diffu_base.reproduction.runs import plan, run_name
from projects.diffu_base.reproduction.tables import TABLES, Row, Table
from tests.projects.diffu_base.engine.runs import CONFIG, run

ROWS = [row for table in TABLES.values() for row in table.rows]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_a_row_has_a_config_that_states_the_paper_s_figure(row: Row):
    docstring = ast.get_docstring(ast.parse(find_config(row.config).read_text())) or ""
    stated = re.search(r"([\d.]+) AP in the paper", docstring)
    if stated and not row.overrides:
        assert row.published["AP"] == float(stated[1])


def test_rows_with_weights_of_their_own_have_runs_of_their_own():
    trained = sorted({row.trained for row in ROWS})
    assert len({run_name(config) for config in trained}) == len(trained)


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """An empty file for the weights of every row but one, and evaluations that write the seed as AP."""
    monkeypatch.chdir(tmp_path)
    for config in {row.trained for row in ROWS} - {"diffu_dino/dino-resnet/coco-r101-4scales-12ep"}:
        file = tmp_path / "runs" / f"{run_name(config)}.pth"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    evaluated = []

    def evaluate(evaluation, *, num_gpus):
        evaluated.append((evaluation.row.config, evaluation.seed))
        metrics = dict.fromkeys(("AP", "APr", "APc", "APf"), 50.0 + (evaluation.seed or 0))
        results = {"bbox": metrics, "segm": metrics}
        write_results(str(evaluation.folder), results, checkpoint=str(evaluation.checkpoint))

    monkeypatch.setattr(evaluation_module, "evaluate", evaluate)
    return evaluated


@pytest.mark.parametrize("table", TABLES)
def test_every_row_of_a_table_is_evaluated_and_set_beside_the_paper(table: str, stand_ins, tmp_path, capsys):
    assert main(("reproduce", table, "runs", "--seeds", "0", "2", "--num-gpus", "0")) == 0
    lines = (tmp_path / "reproduced" / table / "table.md").read_text().splitlines()
    cells = {line.split(" | ")[0].strip("| "): line for line in lines if line.startswith("|")}
    absent = 0
    for row in TABLES[table].rows:
        if row.trained.endswith("coco-r101-4scales-12ep") and "diffu_dino" in row.trained:
            absent += 1
            assert "runs/diffu_dino_r101_4scales_12ep/model_final.pth" in capsys.readouterr().out
        elif (row.config, 2) in stand_ins:
            assert "51.0 ± 1.4" in cells[row.label]
            assert "AP" not in row.published or f"{51 - row.published['AP']:+.1f}" in cells[row.label]
        else:
            assert "50.0" in cells[row.label] and "±" not in cells[row.label]
    assert lines[-1].startswith(f"{len(cells) - 2 - absent} of {len(cells) - 2} rows were measured")


def test_what_has_been_evaluated_is_not_evaluated_again_unless_the_weights_are_others(stand_ins, tmp_path):
    assert main(("reproduce", "v3det", "runs", "--num-gpus", "0")) == 0
    count = len(stand_ins)
    assert main(("reproduce", "v3det", "runs", "--num-gpus", "0")) == 0
    assert len(stand_ins) == count
    (tmp_path / "runs").rename(tmp_path / "others")
    assert main(("reproduce", "v3det", "others", "--num-gpus", "0")) == 0
    assert len(stand_ins) == 2 * count


def test_a_dry_run_prints_a_script_that_bash_and_slurm_run(stand_ins, tmp_path, capsys):
    assert main(("reproduce", "coco", "runs", "--dry-run", "--num-gpus", "8")) == 0
    script = capsys.readouterr().out
    assert not stand_ins and not (tmp_path / "reproduced").exists()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "torchrun").write_text('#!/bin/bash\nprintf "%s|" "$@" >> jobs.txt; echo >> jobs.txt\n')
    (programs / "torchrun").chmod(0o755)
    environment = {"PATH": f"{programs}:/usr/bin:/bin"}
    subprocess.run(["bash", "-c", script], env={**environment, "SLURM_ARRAY_TASK_ID": "0"}, check=True)
    assert len((tmp_path / "jobs.txt").read_text().splitlines()) == 1
    subprocess.run(["bash", "-c", script], env=environment, check=True)
    jobs = (tmp_path / "jobs.txt").read_text().splitlines()[1:]
    diffusion, baselines = 4, 7  # models whose weights are there; with noise there are three seeds
    assert len(jobs) == 3 * diffusion + baselines == int(re.search(r"--array=0-(\d+)", script)[1]) + 1
    assert "--nproc_per_node=8|" in jobs[0] and "|eval|" in jobs[0]
    assert "# not there: torchrun" in script and "train diffu_dino/dino-resnet/coco-r101-4scales-12ep" in script


def test_a_real_run_is_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "runs" / "output", "train.max_iter=1", "train.eval_period=0")
    table = Table("tiny", "bbox", ("AP",), (Row("tiny", str(CONFIG), {"AP": 1.0}),))
    monkeypatch.setitem(TABLES, "coco", table)
    assert main(("reproduce", "coco", "runs", "--output", "out (1)", "--num-gpus", "0")) == 0
    trained = json.loads((tmp_path / "runs" / "output" / "results.json").read_text())["results"]["bbox"]["AP"]
    ((_, (evaluation,)),) = plan(table, Path("runs"), Path("out (1)"), [0])
    assert evaluation.results()["bbox"]["AP"] == pytest.approx(trained)
    assert f"{trained:.1f} | {trained - 1:+.1f}" in re.sub(r" +", " ", Path("out (1)/table.md").read_text())


def test_no_folder_is_a_mistake(tmp_path, capsys):
    assert main(("reproduce", "coco", str(tmp_path / "gone"))) == 2
    assert "is no folder" in capsys.readouterr().err
