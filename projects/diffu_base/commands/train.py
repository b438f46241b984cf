"""Trains and evaluates the run of a config; also runs the batch of a non-finite loss again."""

import argparse
from pathlib import Path

import torch
from detectron2.engine import default_argument_parser, default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from omegaconf import DictConfig

from projects.diffu_base.config.checks import check_data, load_config
from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.build import new_model
from projects.diffu_base.engine.checkpoint import atomic_write, claim_output_dir, load_last
from projects.diffu_base.engine.evaluation import checkpoint_to_evaluate, evaluate, load_for_eval
from projects.diffu_base.engine.replay import replay
from projects.diffu_base.engine.results import Results, write_results
from projects.diffu_base.engine.rng import resolve_seed
from projects.diffu_base.engine.training import train

PACKAGES = ("layers_diffu_detr", "datasets_utils", "projects")  # whose log lines the run's log shows


def argument_parser(epilog: str | None = None) -> argparse.ArgumentParser:
    """detectron2's arguments and ``--replay``."""
    parser = default_argument_parser(epilog=epilog)
    parser.add_argument("--replay", default="", metavar="FILE", help="run the batch of a non-finite loss again")
    return parser


def main(args: argparse.Namespace) -> Results:
    """One process of the job: train, evaluate or replay. Returns the results of the last evaluation."""
    cfg = load_config(args.config_file, args.opts, num_gpus=args.num_gpus)
    if args.replay:
        show_replay(cfg.model, TrainOptions.of(cfg), args.replay)
        return {}
    if args.eval_only:
        return test(cfg, args)
    resumed = load_last(cfg.train.output_dir) if args.resume else None
    if resumed is None:
        claim_output_dir(cfg.train.output_dir, start_over=cfg.train.start_over)
    elif cfg.train.seed < 0:
        cfg.train.seed = resumed["seed"]
    setup(cfg, args)
    return train(cfg, resumed)


def setup(cfg: DictConfig, args: argparse.Namespace) -> None:
    """detectron2's set-up (loggers, config.yaml, cuDNN), the seed, TF32, and the check of the data."""
    cfg.train.seed = resolve_seed(cfg.train.seed)
    saved = Path(cfg.train.output_dir) / "config.yaml"
    of_the_run = saved.read_text() if args.eval_only and saved.is_file() else None
    default_setup(cfg, args)
    if of_the_run is not None and comm.is_main_process():
        atomic_write(of_the_run, str(saved))  # an evaluation leaves the run's own config in place
    for package in PACKAGES:
        setup_logger(cfg.train.output_dir, distributed_rank=comm.get_rank(), name=package)
    allow_tf32(cfg.train.tf32)
    check_data(cfg, training=not args.eval_only)


def allow_tf32(allowed: bool | None) -> None:
    """Allow or forbid TF32 everywhere; None keeps PyTorch's choice."""
    if allowed is not None:
        torch.set_float32_matmul_precision("high" if allowed else "highest")
        torch.backends.cudnn.allow_tf32 = allowed


def test(cfg: DictConfig, args: argparse.Namespace) -> Results:
    """Evaluate the weights of ``train.init_checkpoint``, or with ``--resume`` the run's last."""
    setup(cfg, args)
    options = TrainOptions.of(cfg)
    checkpoint = checkpoint_to_evaluate(options.init_checkpoint, options.output_dir, resume=args.resume)
    model = new_model(cfg.model, options)
    load_for_eval(model, checkpoint, averaged=options.evaluates_averages)
    results = evaluate(model, cfg.dataloader, dtype=options.eval_dtype)
    write_results(options.output_dir, results, checkpoint=checkpoint)
    return results


def show_replay(model: DictConfig, options: TrainOptions, path: str) -> None:
    """Print the losses of a saved batch beside those of the run."""
    losses, before = replay(
        path,
        new_model(model, options),
        amp_dtype=options.amp_dtype,
        accumulation_steps=options.accumulation_steps,
    )
    lines = [f"{'loss':24} {'replay':>14} {'run':>14}"]
    lines += [f"{name:24} {losses[name]:14.6g} {before.get(name, float('nan')):14.6g}" for name in sorted(losses)]
    print("\n".join(lines))
