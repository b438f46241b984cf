"""`diffudetr reproduce`: evaluates checkpoints and writes a paper's table beside what they reach."""

import argparse
from pathlib import Path

DESCRIPTION = """Write a table of the papers beside what checkpoints reach here, with the differences.

FOLDER holds checkpoints or runs under the names of the configs' output folders, as trainings leave them in ./output:
diffu_dino_r50_4scales_50ep/model_final.pth, or diffu_dino_r50_4scales_50ep.pth. Rows without weights stay empty.
Every model with noise is evaluated with several seeds. An evaluation that is in the output folder is not made again,
so an interrupted command, or the jobs of a cluster, can be continued and collected by the same command.

examples, evaluation on this machine, and on a cluster:
  diffudetr reproduce coco output
  diffudetr reproduce coco output --num-gpus 8 --dry-run > jobs.sh; sbatch jobs.sh"""

TABLE_NAMES = ("coco", "lvis", "v3det", "ablations", "diffusion_inst")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("table", choices=TABLE_NAMES, metavar="TABLE", help=", ".join(TABLE_NAMES))
    parser.add_argument("folder", metavar="FOLDER", help="checkpoints or runs")
    parser.add_argument("--output", default="", metavar="FOLDER", help="default: reproduced/TABLE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    parser.add_argument("--num-gpus", type=int, default=1, metavar="N", help="GPUs of a job; 0 runs on the CPU")
    parser.add_argument("--dry-run", action="store_true", help="print a script for a cluster and evaluate nothing")


def run(args: argparse.Namespace) -> int:
    """Evaluate what is left, write and print the table; returns the exit status."""
    from projects.diffu_base.engine.checkpoint import atomic_write
    from projects.diffu_base.reproduction.evaluate import evaluate
    from projects.diffu_base.reproduction.report import cluster_script, markdown, missing
    from projects.diffu_base.reproduction.runs import plan
    from projects.diffu_base.reproduction.tables import TABLES

    folder, table = Path(args.folder).expanduser(), TABLES[args.table]
    output = Path(args.output).expanduser() if args.output else Path("reproduced") / args.table
    rows = list(plan(table, folder, output, args.seeds))
    if args.dry_run:
        print(cluster_script(rows, folder, gpus=args.num_gpus))
        return 0
    for line in missing(rows, folder):
        print(line)
    for evaluation in (each for _, evaluations in rows for each in evaluations):
        if evaluation.results() is None:
            print(f"{evaluation.row.label}, seed {evaluation.seed}: {evaluation.checkpoint}", flush=True)
            evaluate(evaluation, num_gpus=args.num_gpus)
    output.mkdir(parents=True, exist_ok=True)
    atomic_write(markdown(table, rows), str(output / "table.md"))
    print(f"{markdown(table, rows)}\nwritten: {output / 'table.md'}")
    return 0
