"""Measures inference and training steps: time by part, memory, and how the time compares with that of matrix products.

    python tools/benchmark.py inference --config-file CONFIG [--steps 1 3 5] [--sizes 800x1333] [WORD ...]
    python tools/benchmark.py train --config-file CONFIG [--sizes 480x640 512x480] [WORD ...]

A WORD is an override of the config (key=value) or a variable (DIFFU_DETR_DEFORM_ATTN=pytorch). ``--compare "WORD ..."``
adds a second variant: B is A with these words added. The tool measures the two alternately, A B A B, and tells whether
both compute the same.

Images are random, and so are weights, unless the words have train.init_checkpoint=FILE. Each variant has a process of
its own. In the table, the spread is the difference between the quartiles, and the floor is the time that the products
of matrices alone take at the best rate that this machine shows.
"""

import argparse
import multiprocessing
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detectron2.config import instantiate

from layers_diffu_detr.multi_scale_deform_attn import ENV_VARIABLE, choose_deform_attn_op
from projects.diffu_base.commands.errors import run_tool
from projects.diffu_base.config.checks import load_config
from tools.benchmarking.report import Measured, text
from tools.benchmarking.runs import InferenceRun, Run, TrainingRun, finish, start, take_turn
from tools.measuring.measure import evaluations_to_measure, image_size, parse_arguments

_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin while they wait would take the cores from the other variant
    "KINETO_LOG_LEVEL": "99",  # torch's profiler would print its start, and an error where there is no GPU
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # and a warning that it does not know what was allocated before
}


def overrides_and_variables(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Overrides of the config and environment variables, whose names have capitals alone, among the words.

    Raises:
        ValueError: there is no such op for deformable attention.
    """
    is_variable = re.compile(r"[A-Z][A-Z0-9_]*=").match
    variables = dict(word.split("=", 1) for word in words if is_variable(word))
    choose_deform_attn_op(variables.get(ENV_VARIABLE, "auto"))  # its errors would otherwise come up in the process
    return [word for word in words if not is_variable(word)], variables


@contextmanager
def process(environment: dict[str, str]) -> Iterator[ProcessPoolExecutor]:
    """Start a process, as a pool of one. It has these environment variables in addition to those of this process."""
    before = dict(os.environ)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        os.environ.update({**_ENVIRONMENT, **before, **environment})
        try:
            pool.submit(os.getpid).result()  # starts the process, which inherits the variables
        finally:
            os.environ.clear()
            os.environ.update(before)
        yield pool


def argument_parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config-file", required=True, metavar="FILE", help="a LazyConfig with `model`")
    common.add_argument("--num-gpus", type=int, default=1, help="0 uses the CPU; without a GPU it does so by itself")
    common.add_argument("--repeats", type=int, default=3, metavar="N", help="measured turns; one before them warms up")
    common.add_argument("--compare", metavar="WORDS", help="what variant B has besides, in quotation marks")
    common.add_argument("opts", nargs="*", metavar="WORD", help="key=value or VARIABLE=value")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True)
    inference = modes.add_parser("inference", parents=[common], help="detection")
    inference.add_argument("--steps", type=int, nargs="+", metavar="N", help="decoder evaluations; default 1 3 5")
    train = modes.add_parser("train", parents=[common], help="a training step")
    for mode, sizes in ((inference, ["800x1333"]), (train, ["480x640", "512x480"])):
        mode.add_argument("--sizes", nargs="+", default=sizes, metavar="HxW", help="one for each image of a batch")
    return parser


def measure(kind: type[Run], args: argparse.Namespace, variants: dict[str, Sequence[str]], **options: int) -> str:
    """Measure the variants in turn, each in a process of its own.

    Args:
        variants: the words of each. options: of `kind`.

    Returns:
        The report.
    """
    sizes = [image_size(size) for size in args.sizes]
    measured: dict[str, Measured] = {}
    with ExitStack() as stack:
        pools = {}
        for name, words in variants.items():
            overrides, variables = overrides_and_variables(words)
            pools[name] = pool = stack.enter_context(process(variables))
            settings = (args.config_file, overrides, args.num_gpus, sizes)
            environment = pool.submit(start, kind, *settings, **options).result()
            print(f"{name}: {', '.join([*words, *(f'{key} {value}' for key, value in environment.items())])}")
            _, outputs = pool.submit(take_turn).result()  # warms up
            measured[name] = {"turns": [], "outputs": outputs}
        for _ in range(args.repeats):
            for name, pool in pools.items():
                measured[name]["turns"].append(pool.submit(take_turn).result()[0])
        for name, pool in pools.items():
            measured[name].update(pool.submit(finish).result())
    return text(measured, len(sizes))


def run(args: argparse.Namespace) -> None:
    """Measure and print what the arguments ask for.

    Raises:
        ValueError: naming the argument or the word, and what is allowed.
    """
    if args.repeats < 1:
        raise ValueError(f"--repeats {args.repeats}: at least 1 is needed")
    variants = {"A": args.opts}
    if args.compare is not None:
        variants["B"] = [*args.opts, *shlex.split(args.compare)]
    overrides = {name: overrides_and_variables(words)[0] for name, words in variants.items()}
    cfgs = {name: load_config(args.config_file, words, num_gpus=args.num_gpus) for name, words in overrides.items()}
    if args.mode == "train":
        print(f"== training step, {' '.join(args.sizes)}")
        print(measure(TrainingRun, args, variants))
        return
    for number in evaluations_to_measure(instantiate(cfgs["A"].model.get("diffusion")), args.steps):
        print(f"== inference, decoder evaluations: {number}, {' '.join(args.sizes)}")
        print(measure(InferenceRun, args, variants, evaluations=number), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_arguments(argument_parser(), arguments)
    try:
        run(args)
    except BrokenProcessPool as error:
        raise ValueError("a variant's process was killed, perhaps because memory ran out") from error


if __name__ == "__main__":
    sys.exit(run_tool(main))
