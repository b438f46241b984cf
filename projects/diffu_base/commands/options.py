"""Options that commands share. This file needs neither torch nor detectron2, so that help appears at once."""

import argparse
from typing import NoReturn

from .errors import USER_ERROR


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all errors of a command are, without the usage above."""

    def error(self, message: str) -> NoReturn:
        self.exit(USER_ERROR, f"error: {message}; see {self.prog} --help\n")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for resuming and for processes, which `projects.diffu_base.engine.distributed.run` reads."""
    parser.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in train.output_dir, if there is one"
    )
    parser.add_argument(
        "--num-gpus", type=int, default=1, metavar="N", help="GPUs of this machine, default 1; 0 runs on the CPU"
    )
    parser.add_argument("--num-machines", type=int, default=1, metavar="N", help="machines of the run, default 1")
    parser.add_argument(
        "--machine-rank", type=int, default=0, metavar="I", help="which of the machines this one is, from 0"
    )
    parser.add_argument(
        "--dist-url",
        default="auto",
        metavar="URL",
        help="where processes meet, tcp://HOST:PORT of machine 0; one machine finds a free port by itself",
    )


def add_traceback_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that shows more of an error than its line."""
    parser.add_argument("--traceback", action="store_true", help="after an error, print where it was found")


def add_replay_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a saved batch, to be run again."""
    parser.add_argument(
        "--replay", default="", metavar="FILE", help="run the saved batch of a non-finite loss again, then end"
    )
