"""The command `diffudetr`: train, evaluate, report, check data, look at configs.

A command imports what it needs when it runs: help, version and the installation of detectron2 work without detectron2.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from .commands import export, install_detectron2, pack, predict, reproduce, train_own, view, zoo
from .commands.errors import exit_status
from .commands.options import OneLineParser, add_replay_option, add_run_options, add_traceback_option
from .version import __version__

CONFIG_HELP = "a config's name, as `diffudetr config` lists them, or the path of a config file"
OVERRIDES_HELP = "settings that replace the config's, such as train.max_iter=1000"

TRAIN = """Train a model on your own data, or the model of a config. The results, checkpoints and logs go into the
folder --output, or train.output_dir of a config.

example, a folder of labelled images (COCO, YOLO, VOC, CVAT, Roboflow, FiftyOne); sizes, batch and schedule are chosen:
  diffudetr train data/cells --model diffu_dino/custom-lite0-3scales --epochs 30 --output output/cells

example, a config, with your own data in COCO's format on one GPU:
  diffudetr train diffu_dino/custom-r50-4scales data.train_json=train.json data.train_images=images/train \\
      data.val_json=val.json data.val_images=images/val train.output_dir=output/mine

The same command with --resume goes on where an interrupted training stopped. Several processes under torchrun:
  torchrun --nproc_per_node=2 -m projects.diffu_base.cli train CONFIG --num-gpus 0"""

EVAL = """Evaluate trained weights on the test data of a config, and print their average precision.

example:
  diffudetr eval diffu_dino/dino-resnet/coco-r50-4scales-50ep --checkpoint model_final.pth

--resume evaluates the last checkpoint in train.output_dir instead of a file."""

CHECK = """Check a data set in COCO's format before anything trains on it, and print what is wrong, with examples.
The exit status is 0 without faults and 1 with faults.

examples, an annotation file with its folder of images, and the data of a config:
  diffudetr check train.json images/train
  diffudetr check train.json images/train --write-mended mended.json
  diffudetr check diffu_dino/dino-resnet/coco-r50-4scales-50ep"""

REPORT = """Write the report on the last evaluation that a folder of a training or an evaluation holds:
- report.html with average precision by class and size, curves, kinds of error, costs, suspected label errors, and all
  images, worst first;
- thresholds.json with the score threshold that suits each class.
`train` and `eval` end with it by themselves.

examples, and one for a run that was copied from another machine:
  diffudetr report output/mine
  diffudetr report output/mine --annotations val.json --images images/val"""

CONFIG = """List all configs, print one of them as YAML, which is a config again, or explain it: every key in a line
with its value, its type, its default and what it does.

examples:
  diffudetr config
  diffudetr config diffu_dino/custom-r50-4scales > mine.yaml
  diffudetr config diffu_dino/custom-r50-4scales model.num_queries=300 --explain"""

VERSION = """Print the version of this software.

example:
  diffudetr version"""


class Command(NamedTuple):
    """A command: its line in the list of commands, its help, its arguments, and what it does."""

    summary: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config_file", metavar="CONFIG", help=CONFIG_HELP)
    _add_overrides(parser)


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("opts", nargs="*", default=(), metavar="key=value", help=OVERRIDES_HELP)


def _add_train_arguments(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    add_run_options(parser)
    add_replay_option(parser)
    train_own.add_arguments(parser)


def _train(args: argparse.Namespace) -> int:
    from .commands.train import start

    args.eval_only = False
    if train_own.names_data(args):
        return train_own.run(args)
    return start(args)


def _add_eval_arguments(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--checkpoint", default="", metavar="FILE", help="the weights; the same as train.init_checkpoint=FILE"
    )
    add_run_options(parser)


def _evaluate(args: argparse.Namespace) -> int:
    from .commands.train import start
    from .config.overrides import quoted

    args.eval_only, args.replay = True, ""
    if args.checkpoint:
        args.opts = [*args.opts, f"train.init_checkpoint={quoted(args.checkpoint)}"]
    return start(args)


def _add_check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="+", metavar="WHAT", help="ANNOTATIONS IMAGES, or CONFIG with key=value settings behind it"
    )
    parser.add_argument("--quick", action="store_true", help="see whether the images are there, but read none")
    parser.add_argument(
        "--write-mended", default="", metavar="FILE", help="write the annotations of ANNOTATIONS without the faults"
    )


def _check(args: argparse.Namespace) -> int:
    from .commands.check import check

    return int(check(args.what, read_images=not args.quick, mended_file=args.write_mended) > 0)


def _add_report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="RUN_FOLDER", help="an output folder with detections.npz")
    parser.add_argument(
        "--annotations", default="", metavar="FILE", help="the annotation file, if it is no longer where it was"
    )
    parser.add_argument("--images", default="", metavar="FOLDER", help="the folder of its images, likewise")


def _report(args: argparse.Namespace) -> int:
    from .api.report import write_report

    print(write_report(args.folder, annotations=args.annotations, images=args.images))
    return 0


def _add_config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="CONFIG", help=f"{CONFIG_HELP}; without it, all are listed")
    parser.add_argument("--explain", action="store_true", help="print every key with its type, default and meaning")
    _add_overrides(parser)


def _config(args: argparse.Namespace) -> int:
    from .commands.config import list_configs, show_config

    try:
        if args.name is None:
            list_configs()
        else:
            show_config(args.name, args.opts, explain=args.explain)
        sys.stdout.flush()
    except BrokenPipeError:  # `head` or a pager has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it ends
    return 0


def _version(args: argparse.Namespace) -> int:
    print(__version__)
    return 0


COMMANDS = {
    "predict": Command("detect in images", predict.DESCRIPTION, predict.add_arguments, predict.run),
    "train": Command("train a model", TRAIN, _add_train_arguments, _train),
    "eval": Command("evaluate trained weights", EVAL, _add_eval_arguments, _evaluate),
    "report": Command("write the report on an evaluation", REPORT, _add_report_arguments, _report),
    "view": Command("show how boxes are denoised in an image", view.DESCRIPTION, view.add_arguments, view.run),
    "check": Command("check a data set before training", CHECK, _add_check_arguments, _check),
    "config": Command("list the configs, or show one", CONFIG, _add_config_arguments, _config),
    "pack": Command("make a model folder of a checkpoint", pack.DESCRIPTION, pack.add_arguments, pack.run),
    "export": Command("write a model for other runtimes", export.DESCRIPTION, export.add_arguments, export.run),
    "zoo": Command("list the models with published results", zoo.DESCRIPTION, zoo.add_arguments, zoo.run),
    "reproduce": Command(
        "set a paper's table beside measured figures",
        reproduce.DESCRIPTION,
        reproduce.add_arguments,
        reproduce.run,
    ),
    "version": Command("print the version", VERSION, lambda parser: None, _version),
    "install-detectron2": Command(
        "install detectron2, which PyPI does not have",
        f"{install_detectron2.__doc__}\nexample:\n  diffudetr install-detectron2",
        install_detectron2.add_arguments,
        install_detectron2.run,
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0, 1 if a check found faults, 2 if the user made a mistake."""
    top = top_parser()
    given = top.parse_args(arguments)
    if given.command is None:
        top.print_help()
        return 0
    command = COMMANDS[given.command]
    parser = OneLineParser(
        prog=f"diffudetr {given.command}",
        description=command.description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    add_traceback_option(parser)
    for stream in (sys.stdout, sys.stderr):  # a terminal's encoding may lack characters that names have
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Options may stand before, between and behind the key=value settings.
    args = parser.parse_intermixed_args(given.arguments)
    return exit_status(partial(command.run, args), traceback=args.traceback)


def top_parser() -> argparse.ArgumentParser:
    """Return the parser that reads the command's name and leaves all other arguments to the command."""
    listed = "\n".join(f"  {name:19} {command.summary}" for name, command in COMMANDS.items())
    parser = OneLineParser(
        prog="diffudetr",
        description=f"Object detection and instance segmentation as denoising diffusion.\n\ncommands:\n{listed}",
        epilog="`diffudetr COMMAND --help` explains a command and gives an example.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=list(COMMANDS), metavar="COMMAND", help="one of the above")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="what belongs to the command")
    return parser


if __name__ == "__main__":
    sys.exit(main())
