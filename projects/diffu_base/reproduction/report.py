"""A paper's table beside the measured figures, and the script of a cluster that measures them."""

import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from .runs import Evaluation, run_name
from .tables import Row, Table

Plan = Sequence[tuple[Row, list[Evaluation]]]


def markdown(table: Table, plan: Plan) -> str:
    """The table: for each metric the paper's figure, mean and deviation over the seeds, and how far they are apart."""
    header = ["row", "config"]
    for metric in table.metrics:
        header += [f"{metric} in the paper", f"{metric} measured", "difference"]
    rows = [[row.label, f"`{row.config}`", *_figures(table, row, evaluations)] for row, evaluations in plan]
    measured = sum(any(each.results() for each in evaluations) for _, evaluations in plan)
    lines = [
        f"## {table.title}, {table.task}",
        "",
        tabulate(rows, header, tablefmt="github", disable_numparse=True),
        "",
        f"{measured} of {len(rows)} rows were measured. Beside a mean stands its deviation over seeds of the noise.",
    ]
    return "\n".join(lines) + "\n"


def _figures(table: Table, row: Row, evaluations: Sequence[Evaluation]) -> list[str]:
    results = [found for each in evaluations if (found := each.results()) is not None]
    cells = []
    for metric in table.metrics:
        values = [each[table.task][metric] for each in results if each.get(table.task, {}).get(metric) is not None]
        paper, mean = row.published.get(metric), statistics.fmean(values) if values else None
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        cells += [
            "" if paper is None else f"{paper:.1f}",
            "" if mean is None else f"{mean:.1f}{spread}",
            "" if mean is None or paper is None else f"{mean - paper:+.1f}",
        ]
    return cells


def missing(plan: Plan, folder: Path) -> list[str]:
    """A line for every row whose weights are not in `folder`, which says where they were looked for."""
    return [
        f"{row.label}: no weights; looked for {folder / name}.pth and {folder / name}/model_final.pth"
        for row, evaluations in plan
        if not evaluations
        for name in [run_name(row.trained)]
    ]


def cluster_script(plan: Plan, folder: Path, *, gpus: int) -> str:
    """A script of bash that runs every evaluation that is left, one after another, or as an array of SLURM one a job.

    Rows without weights are named in comments, with the command that trains them.
    """
    left = [each for _, evaluations in plan for each in evaluations if each.results() is None]
    jobs = [shlex.join(_command("eval", each.row.config, each.overrides(), gpus)) for each in left]
    trainings = {row.trained: folder / run_name(row.trained) for row, evaluations in plan if not evaluations}
    lines = [
        "#!/bin/bash",
        f"#SBATCH --array=0-{max(len(jobs) - 1, 0)}",
        f"#SBATCH --gpus-per-node={gpus}",
        "#SBATCH --nodes=1 --ntasks=1",
        "# as an array of SLURM: sbatch THIS_FILE; one after another: bash THIS_FILE",
        *(
            f"# not there: {shlex.join(_command('train', config, [f'train.output_dir={run}'], gpus))}"
            for config, run in trainings.items()
        ),
        "jobs=(",
        *(f"  {shlex.quote(job)}" for job in jobs),
        ")",
        'if [ -n "$SLURM_ARRAY_TASK_ID" ]; then eval "${jobs[$SLURM_ARRAY_TASK_ID]}"; exit; fi',
        'for job in "${jobs[@]}"; do eval "$job" || exit; done',
    ]
    return "\n".join(lines)


def _command(action: str, config: str, overrides: Sequence[str], gpus: int) -> list[str]:
    launcher = ["torchrun", "--standalone", f"--nproc_per_node={max(gpus, 1)}", "-m", "projects.diffu_base.cli"]
    return [*launcher, action, config, "--num-gpus", str(gpus), *overrides]
