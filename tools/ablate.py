"""Measures where a trained model's AP comes from: its sampler in many settings, with several seeds, beside baselines.

    python tools/ablate.py --model NAME=CONFIG:CHECKPOINT [--model ...] --output-dir DIR [--seeds 0 1 2]
        [--evaluations 1 4 | --no-standard-rows] [--samplers] [--row "NAME: key=value ..."] [--crowded-above N]
        [--latency-images N] [key=value ...]

Each row of the table is a setting of a trained model. Every diffusion model has the standard rows: different numbers of
decoder evaluations, and controls that lack one thing and so tell where a gain comes from. A baseline, which has no
noise, has two rows, without and with NMS. ``--evaluations`` names the numbers and leaves the controls out;
``--samplers`` adds rows with other starts, renewals, stops and merges than the released ones; ``--row`` adds a row to
every model. AP is measured for boxes and, where the model has them, for masks: over all images, and over
the crowded and the sparse images apart.

The tool writes into DIR ablation.json, ablation.md (the table), ablation.png (a panel for each diffusion model; the
baselines that the command line names after it are lines in its panel) and cost.png (AP against GFLOPs and against
milliseconds; those baselines are points). It writes ablation.json after every evaluation. To continue an interrupted
command, give it again. A command with more models, rows or seeds only measures what is new.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from omegaconf import DictConfig

from projects.diffu_base.commands.errors import run_tool
from projects.diffu_base.config.checks import load_config
from projects.diffu_base.config.overrides import quoted
from projects.diffu_base.engine.checkpoint import atomic_write
from projects.diffu_base.engine.weight_files import local_path
from tools.ablation.cost_plot import plot_costs
from tools.ablation.report import markdown, plot
from tools.ablation.results import Results
from tools.ablation.rows import Row, parse_row, standard_rows
from tools.ablation.run import ModelRun
from tools.ablation.sampler_rows import sampler_rows
from tools.measuring.measure import parse_arguments


class Model(NamedTuple):
    """A trained model, and what the table calls it."""

    name: str
    config_file: str
    checkpoint: str

    @classmethod
    def parse(cls, text: str) -> "Model":
        """From ``NAME=CONFIG:CHECKPOINT``."""
        name, _, files = text.partition("=")
        config_file, _, checkpoint = files.partition(":")
        if not (name and config_file and checkpoint):
            raise ValueError(f"--model {text!r} is not of the form NAME=CONFIG:CHECKPOINT")
        return cls(name, config_file, checkpoint)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=CONFIG:CHECKPOINT")
    parser.add_argument("--output-dir", required=True, metavar="DIR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="of the noise")
    parser.add_argument("--row", action="append", default=[], metavar="ROW", help='"name: key=value ..."')
    standard = parser.add_mutually_exclusive_group()
    standard.add_argument(
        "--evaluations", type=int, nargs="+", default=[], metavar="N", help="only these numbers, no controls"
    )
    standard.add_argument("--no-standard-rows", action="store_true", help="only the rows of --row")
    parser.add_argument("--samplers", action="store_true", help="rows with other starts, renewals, stops and merges")
    parser.add_argument("--crowded-above", type=float, metavar="N", help="objects of an image; default: the median")
    parser.add_argument("--latency-images", type=int, default=20, metavar="N", help="images to time; 0: none")
    parser.add_argument("--num-gpus", type=int, default=1, help="0 uses the CPU; without a GPU it does so by itself")
    parser.add_argument("opts", nargs="*", metavar="key=value", help="overrides for all models and rows")
    return parser


def ablate(args: argparse.Namespace) -> Results:
    """Measure what the arguments ask for and the folder does not have yet; write the table and the plot.

    Raises:
        ValueError: naming the argument and its value, or what the folder holds of another model.
    """
    models = [Model.parse(text) for text in args.model]
    if len({model.name for model in models}) < len(models):
        raise ValueError(f"--model: names must differ, got {', '.join(model.name for model in models)}")
    rows = [parse_row(text) for text in args.row]
    folder = Path(args.output_dir)
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    results = Results(folder)
    runs = [model_run(args, model, rows, results) for model in models]  # finds mistakes before anything runs
    report = Progress(sum(run.evaluations() for run in runs))
    for run in runs:
        run.run(args.latency_images, report)
        atomic_write(markdown(results.models), str(folder / "ablation.md"))
        plot(results.models, folder / "ablation.png")
        plot_costs(results.models, folder / "cost.png")
    return results


def model_run(args: argparse.Namespace, model: Model, own_rows: Sequence[Row], results: Results) -> ModelRun:
    """A model's part of what the arguments ask for."""

    def load(overrides: Sequence[str]) -> DictConfig:
        opts = [*args.opts, f"train.init_checkpoint={quoted(local_path(model.checkpoint))}", *overrides]
        return load_config(model.config_file, opts, num_gpus=args.num_gpus)

    standard = [] if args.no_standard_rows else standard_rows(load(()), args.evaluations)
    rows = [*standard, *(sampler_rows(load(())) if args.samplers else []), *own_rows]
    if not rows or len({row.name for row in rows}) < len(rows):
        raise ValueError(f"rows must have different names, at least one, got {', '.join(row.name for row in rows)}")
    facts = {"config_file": model.config_file, "overrides": args.opts}
    return ModelRun(model.name, load, rows, args.seeds, results, facts=facts, crowded_above=args.crowded_above)


class Progress:
    """Prints lines of text. A line about an evaluation also says its number and how much time is left."""

    def __init__(self, evaluations: int) -> None:
        self.total, self.done, self.start = evaluations, 0, time.monotonic()

    def __call__(self, line: str, *, evaluated: bool = False) -> None:
        if not evaluated:
            print(line, flush=True)
            return
        self.done += 1
        left = (time.monotonic() - self.start) / self.done * (self.total - self.done) / 60
        print(f"[{self.done}/{self.total}, {left:.0f} min left] {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> Results:
    args = parse_arguments(argument_parser(), arguments)
    results = ablate(args)
    print(f"\n{markdown(results.models)}\nThe table and the plot are in {args.output_dir}")
    return results


if __name__ == "__main__":
    sys.exit(run_tool(main))
