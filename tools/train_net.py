"""Trains and evaluates the models of this repository from LazyConfig files.

    python tools/train_net.py --config-file CONFIG [--num-gpus N] [--resume] [key=value ...]
    python tools/train_net.py --config-file CONFIG --eval-only train.init_checkpoint=FILE
    torchrun --nproc_per_node=N tools/train_net.py --config-file CONFIG [...]

``--num-gpus 0`` uses the CPU, under torchrun too.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402
from detectron2.engine import default_argument_parser, default_setup  # noqa: E402
from detectron2.utils import comm  # noqa: E402
from detectron2.utils.logger import setup_logger  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from projects.diffu_base.config.checks import amp_dtype, check_data, load_config  # noqa: E402
from projects.diffu_base.engine.checkpoint import atomic_write, claim_output_dir, load_last  # noqa: E402
from projects.diffu_base.engine.distributed import run  # noqa: E402
from projects.diffu_base.engine.evaluation import build_model, evaluate, load_for_eval, write_results  # noqa: E402
from projects.diffu_base.engine.replay import replay  # noqa: E402
from projects.diffu_base.engine.rng import resolve_seed  # noqa: E402
from projects.diffu_base.engine.training import train  # noqa: E402


def argument_parser() -> argparse.ArgumentParser:
    """detectron2's arguments and ``--replay``."""
    parser = default_argument_parser(epilog=__doc__)
    parser.add_argument("--replay", default="", metavar="FILE", help="run the batch of a non-finite loss again")
    return parser


def main(args: argparse.Namespace) -> dict[str, Any]:
    """One process of the job: train, evaluate or replay. Returns the results of the last evaluation."""
    cfg = load_config(args)
    if args.replay:
        return show_replay(cfg, args.replay)
    if args.eval_only:
        return do_test(cfg, args)
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
    for package in ("layers_diffu_detr", "datasets_utils", "projects"):
        setup_logger(cfg.train.output_dir, distributed_rank=comm.get_rank(), name=package)
    if cfg.train.tf32 is not None:
        torch.set_float32_matmul_precision("high" if cfg.train.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = cfg.train.tf32
    check_data(cfg, training=not args.eval_only)


def do_test(cfg: DictConfig, args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate the weights of ``train.init_checkpoint``, or with ``--resume`` the run's last."""
    setup(cfg, args)
    model = build_model(cfg)
    checkpoint = load_for_eval(cfg, model, resume=args.resume)
    results = evaluate(cfg, model)
    write_results(cfg.train.output_dir, results, checkpoint=checkpoint)
    return results


def show_replay(cfg: DictConfig, path: str) -> dict[str, Any]:
    """Print the losses of a saved batch beside those of the run."""
    losses, before = replay(
        path, build_model(cfg), amp_dtype=amp_dtype(cfg), accumulation_steps=cfg.train.accumulation_steps
    )
    print(f"{'loss':24} {'replay':>14} {'run':>14}")
    for name in sorted(losses):
        print(f"{name:24} {losses[name]:14.6g} {before.get(name, float('nan')):14.6g}")
    return {}


if __name__ == "__main__":
    run(main, argument_parser().parse_args())
