"""Measures inference and training steps: time by part, peak memory, and the distance from what matrix products take.

    python tools/benchmark.py inference --config-file CONFIG [--steps 1 3 5] [--batch 1] [--size 800 1333] [WORD ...]
    python tools/benchmark.py train --config-file CONFIG [--sizes 480x640 512x480] [--objects 10] [WORD ...]

A WORD is an override of the config (key=value), a variable (DIFFU_DETR_DEFORM_ATTN=pytorch) or cache=off, which
projects memory to values again in every decoder evaluation. ``--compare "WORD ..."`` measures the setting (A) and the
same with these words (B) in turn, A B A B, and prints ratios and whether both compute the same.

Images are random, and so are weights, unless the words have train.init_checkpoint=FILE. Every setting has a process of
its own. A spread is the distance of the quartiles.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detectron2.config import instantiate  # noqa: E402

from tools.benchmarking.inference import InferenceJob  # noqa: E402
from tools.benchmarking.report import collect, contrast, text  # noqa: E402
from tools.benchmarking.setting import Setting  # noqa: E402
from tools.benchmarking.training import TrainingJob  # noqa: E402
from tools.benchmarking.worker import Job, Worker  # noqa: E402
from tools.measuring.measure import checked_size, evaluations_to_measure, image_size, parse_arguments  # noqa: E402


def argument_parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config-file", required=True, metavar="FILE", help="a LazyConfig with `model`")
    common.add_argument("--num-gpus", type=int, default=1, help="0 uses the CPU; without a GPU it does so by itself")
    common.add_argument("--warmup", type=int, default=1, metavar="N", help="turns before the measured ones")
    common.add_argument("--compare", metavar="WORDS", help="what the second setting has besides, in quotation marks")
    common.add_argument("--json", metavar="FILE", help="write everything, each turn's times too")
    common.add_argument("opts", nargs="*", metavar="WORD", help="key=value, VARIABLE=value or cache=off")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    inference = modes.add_parser("inference", parents=[common], help="detection")
    inference.add_argument("--steps", type=int, nargs="+", metavar="N", help="decoder evaluations; default 1 3 5")
    inference.add_argument("--batch", type=int, nargs="+", default=[1], metavar="N", help="images at a time")
    inference.add_argument("--size", type=int, nargs=2, default=(800, 1333), metavar=("HEIGHT", "WIDTH"))
    inference.add_argument("--repeats", type=int, default=5, metavar="N", help="measured turns")
    train = modes.add_parser("train", parents=[common], help="a training step")
    train.add_argument("--sizes", nargs="+", default=["480x640", "512x480"], metavar="HxW", help="one per image")
    train.add_argument("--objects", type=int, default=10, metavar="N", help="per image")
    train.add_argument("--repeats", type=int, default=3, metavar="N", help="measured turns")
    return parser


def jobs_of(args: argparse.Namespace, setting: Setting) -> list[Job]:
    """What the arguments ask for, one job for each table.

    Raises:
        ValueError: naming the argument and its value.
    """
    cfg = setting.load()
    for name, least in {"warmup": 0, "repeats": 1, **({"objects": 0} if args.mode == "train" else {})}.items():
        if getattr(args, name) < least:
            raise ValueError(f"--{name} {getattr(args, name)}: at least {least} is needed")
    if args.mode == "train":
        return [TrainingJob(tuple(checked_size(image_size(size)) for size in args.sizes), args.objects)]
    if min(args.batch) < 1:
        raise ValueError(f"--batch {' '.join(map(str, args.batch))}: at least 1 is needed")
    evaluations = evaluations_to_measure(instantiate(cfg.model.get("diffusion")), args.steps)
    size = checked_size(args.size)
    return [InferenceJob(number, batch, size) for batch in args.batch for number in evaluations]


def measure(job: Job, settings: dict[str, Setting], *, warmup: int, repeats: int) -> dict[str, Any]:
    """Measure settings by turns, each in a worker of its own; plain data, see `tools.benchmarking.report`."""
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(setting, job)) for name, setting in settings.items()}
        environments = {name: worker.ready() for name, worker in workers.items()}
        turns: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
        for number in range(1 - warmup, repeats + 1):
            for name, worker in workers.items():
                turn = worker.turn()
                print(f"{job}: {name}, turn {number} of {repeats}, {turn['total']:.3f} s", file=sys.stderr)
                if number > 0:  # those before warm up
                    turns[name].append(turn)
        finished = {name: worker.finish(with_machine=name == "A", repeats=repeats) for name, worker in workers.items()}
    rate = finished["A"]["rate"]
    results = {name: collect(turns[name], finished[name], rate["best"], job.images) for name in workers}
    measured = {
        "title": str(job),
        "job": asdict(job),
        "environment": environments,
        "rate": rate,
        "data": finished["A"]["data"],
        "results": results,
        "notes": finished["A"]["notes"],
    }
    if isinstance(job, TrainingJob) and not all(setting.cache for setting in settings.values()):
        measured["notes"].append("cache=off changes nothing in training, where the decoder is evaluated once")
    if "B" in workers:
        measured["contrast"] = contrast(results, {name: finished[name]["outputs"] for name in workers})
    return measured


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print what the arguments ask for; returns what ``--json`` writes."""
    setting = Setting(args.config_file, num_gpus=args.num_gpus).plus(args.opts)
    settings, words = {"A": setting}, {"A": " ".join(args.opts) or "as configured"}
    if args.compare is not None:
        settings["B"] = setting.plus(args.compare)
        words["B"] = f"A with {args.compare}"
        settings["B"].load()  # its mistakes come to light before anything runs
    result: dict[str, Any] = {
        "config_file": args.config_file,
        "settings": {name: asdict(each) for name, each in settings.items()},
        "measured": [],
    }
    for job in jobs_of(args, setting):
        measured = {**measure(job, settings, warmup=args.warmup, repeats=args.repeats), "words": words}
        if not result["measured"]:
            print(f"{args.config_file}; " + ", ".join(f"{k} {v}" for k, v in measured["environment"]["A"].items()))
        print("\n" + text(measured), flush=True)
        result["measured"].append(measured)
    return result


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse_arguments(argument_parser(), arguments)
    try:
        result = run(args)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    main()
