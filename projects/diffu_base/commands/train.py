"""Trains and evaluates the run of a config; also runs the batch of a non-finite loss again."""

import argparse
import sys
from pathlib import Path

import torch
from detectron2.engine import default_setup
from detectron2.utils import comm
from omegaconf import DictConfig
from torch.multiprocessing import ProcessExitedException

from projects.diffu_base.api.model_folder import is_model_folder
from projects.diffu_base.api.report import give_thresholds, write_report
from projects.diffu_base.config.checks import check_data, load_config
from projects.diffu_base.config.files import find_config
from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.build import new_model
from projects.diffu_base.engine.checkpoint import atomic_write, claim_output_dir, load_last
from projects.diffu_base.engine.distributed import run
from projects.diffu_base.engine.evaluation import detections_file, evaluate_run
from projects.diffu_base.engine.hooks import WriteFinalModel
from projects.diffu_base.engine.logs import set_up_logs
from projects.diffu_base.engine.replay import show_replay
from projects.diffu_base.engine.results import Results
from projects.diffu_base.engine.rng import resolve_seed
from projects.diffu_base.engine.training import train

from .errors import PACKAGES, USER_ERROR, exit_status
from .options import OneLineParser, add_replay_option, add_run_options, add_traceback_option


def argument_parser(epilog: str | None = None) -> argparse.ArgumentParser:
    """The parser of tools/train_net.py. `diffudetr train` and `diffudetr eval` pass the same arguments to `main`."""
    parser = OneLineParser(epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default="", metavar="CONFIG", help="a config's name or file")
    parser.add_argument("--eval-only", action="store_true", help="evaluate train.init_checkpoint and end")
    add_run_options(parser)
    add_replay_option(parser)
    add_traceback_option(parser)
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="key=value", help="overrides, after all options")
    return parser


def start(args: argparse.Namespace) -> int:
    """Run `main` in every process of the job; returns the exit status."""
    try:
        run(in_one_process, args)
    except ProcessExitedException as error:
        if error.exit_code != USER_ERROR:
            raise
        return USER_ERROR
    return 0


def in_one_process(args: argparse.Namespace) -> None:
    """Run `main` in a process of the job. After a mistake of the user the process exits with status 2, which tells the
    parent process that the error has been printed."""

    def command() -> int:
        main(args)
        return 0

    if status := exit_status(command, traceback=args.traceback):
        sys.exit(status)


def main(args: argparse.Namespace) -> Results:
    """One process of the job: train, evaluate or replay. Returns the results of the last evaluation."""
    cfg = load_config(args.config_file, args.opts, num_gpus=args.num_gpus)
    if args.replay:
        options = TrainOptions.of(cfg)
        model = new_model(cfg.model, options)
        show_replay(args.replay, model, amp_dtype=options.amp_dtype, accumulation_steps=options.accumulation_steps)
        return {}
    if args.eval_only:
        setup(cfg, args)
        results = evaluate_run(cfg, resume=args.resume)
        report(cfg)
        return results
    resumed = load_last(cfg.train.output_dir) if args.resume else None
    if resumed is None:
        claim_output_dir(cfg.train.output_dir, start_over=cfg.train.start_over)
    elif cfg.train.seed < 0:
        cfg.train.seed = resumed["seed"]
    setup(cfg, args)
    results = train(cfg, resumed)
    final = Path(cfg.train.output_dir) / WriteFinalModel.NAME
    if report(cfg) and is_model_folder(final):
        give_thresholds(cfg.train.output_dir, final)
    return results


def report(cfg: DictConfig) -> bool:
    """Write the report on the run's last evaluation, if one is wanted and the evaluation kept its detections. Returns
    whether this process has written it."""
    folder = cfg.train.output_dir
    wanted = cfg.train.report and comm.is_main_process() and Path(detections_file(folder)).is_file()
    if wanted:
        write_report(folder)
    return wanted


def setup(cfg: DictConfig, args: argparse.Namespace) -> None:
    """Prepare a run: detectron2's set-up (loggers, config.yaml, cuDNN), the seed, TF32, and the check of the data."""
    cfg.train.seed = resolve_seed(cfg.train.seed)
    saved = Path(cfg.train.output_dir) / "config.yaml"
    of_the_run = saved.read_text() if args.eval_only and saved.is_file() else None
    set_up_logs(cfg.train.output_dir, PACKAGES)
    default_setup(cfg, argparse.Namespace(**{**vars(args), "config_file": str(find_config(args.config_file))}))
    if of_the_run is not None and comm.is_main_process():
        atomic_write(of_the_run, str(saved))  # an evaluation must not change the run's config file
    if cfg.train.tf32 is not None:
        torch.set_float32_matmul_precision("high" if cfg.train.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = cfg.train.tf32
    check_data(cfg, training=not args.eval_only)
