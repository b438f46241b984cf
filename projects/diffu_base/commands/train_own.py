"""`diffudetr train DATA`: looks at a user's own data, plans the training by it, and trains."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from datasets_utils.own_data import OwnData
    from projects.diffu_base.config.own_data import Plan

DEFAULT_MODEL = "diffu_dino/custom-lite0-3scales"
DATA_SUFFIXES = (".json", ".xml")
PATIENCE = 6  # evaluations without a better AP
MOST_CLASSES = 12  # that are listed
FIRST_PAGE = "first_page.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a training on one's own data."""
    group = parser.add_argument_group("your own data, with DATA in the place of CONFIG")
    group.add_argument(
        "--model",
        default="",
        metavar="MODEL",
        help=f"a config's name, or a trained model to start from: a model folder or a training's; {DEFAULT_MODEL}",
    )
    group.add_argument("--epochs", type=int, default=30, metavar="N", help="passes over the images, default 30")
    group.add_argument("--output", default="", metavar="FOLDER", help="default: output/NAME OF DATA")
    group.add_argument("--images", default="", metavar="FOLDER", help="the images, where they are not found")
    group.add_argument(
        "--val-share",
        type=float,
        default=0.2,
        metavar="S",
        help="share of the images that is split off without validation data, default 0.2; 0 splits nothing",
    )
    group.add_argument("--dry-run", action="store_true", help="look at the data and show the plan, but do not train")


def names_data(args: argparse.Namespace) -> bool:
    """Whether the first argument names data rather than a config."""
    return bool(args.model) or os.path.isdir(args.config_file) or args.config_file.endswith(DATA_SUFFIXES)


def run(args: argparse.Namespace) -> int:
    """Find the data, show what they are like and what is chosen, and train; returns the exit status.

    Raises:
        ValueError: there are no data to train on, or no such model.
    """
    from datasets_utils.own_data import find_own_data

    if args.epochs < 1:
        raise ValueError(f"--epochs is {args.epochs}; it must be at least 1")
    output = args.output or os.path.join("output", Path(args.config_file).resolve().stem)
    data = find_own_data(args.config_file, work_dir=Path(output) / "data", images=args.images, val_share=args.val_share)
    cfg, plan = _plan(args, data, output)
    _show(data, plan)
    config_file = _write(cfg, output, args.opts)
    if args.dry_run:
        print(f"the run's config: {config_file}")
        return 0
    from .train import start

    args.config_file, args.opts = config_file, []
    return start(args)


def _plan(args: argparse.Namespace, data: "OwnData", output: str) -> "tuple[DictConfig, Plan]":
    import torch

    from datasets_utils.coco_file import read_coco_file
    from datasets_utils.own_data.facts import look_at
    from projects.diffu_base.config.own_data import plan_training
    from projects.diffu_base.config.own_run import own_run

    facts = look_at(read_coco_file(data.train.json_file))
    if not facts.num_objects:
        raise ValueError(f"{data.train.json_file} has no objects to train on")
    cfg, is_trained = own_run(args.model or DEFAULT_MODEL, data, output)
    if cfg.dataloader.train.mapper.mask_on and not facts.has_masks:
        raise ValueError(f"--model {args.model!r} predicts masks, but the data have boxes alone; take a model of boxes")
    on_gpu = args.num_gpus > 0 and torch.cuda.is_available()
    memory = torch.cuda.get_device_properties(0).total_memory * args.num_gpus if on_gpu else None
    plan = plan_training(cfg, facts, epochs=args.epochs, memory=memory, trained_queries=is_trained)
    if cfg.train.checkpointer.best_metric:
        cfg.train.patience = PATIENCE
        plan.choices.append(f"end: early, after {PATIENCE} evaluations without a better AP; model_best is kept")
    counts = _listed(facts.objects_of_class)
    start = cfg.train.init_checkpoint or "random weights"
    plan.choices.insert(0, f"training data: {facts.num_images} images, {facts.num_objects} objects: {counts}")
    plan.choices.insert(1, f"model: {args.model or DEFAULT_MODEL}, from {start}")
    return cfg, plan


def _listed(counts: dict[str, int]) -> str:
    """The classes with their numbers of objects, the most frequent first; of many classes the first ones."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    more = [f"{len(ordered) - MOST_CLASSES} more"] if len(ordered) > MOST_CLASSES else []
    return ", ".join([*(f"{name} {number}" for name, number in ordered[:MOST_CLASSES]), *more])


def _show(data: "OwnData", plan: "Plan") -> None:
    print(data.layout)
    for line in plan.choices:
        print(line)
    for line in plan.warnings:
        print(f"note: {line}")


def _write(cfg: "DictConfig", output: str, overrides: list[str]) -> str:
    """Write the config and the first page of training images; returns the config's file."""
    from detectron2.config import LazyConfig

    from projects.diffu_base.api.class_names import classes_of_config
    from projects.diffu_base.api.first_page import write_first_page
    from projects.diffu_base.config.files import apply_overrides

    apply_overrides(cfg, overrides)
    folder = Path(output) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    classes = classes_of_config(cfg)
    assert classes is not None  # own data name their classes
    page = Path(output) / FIRST_PAGE
    write_first_page(str(page), cfg.dataloader.train, classes.names)
    print(f"a page of training images with their boxes: {page}")
    LazyConfig.save(cfg, str(folder / "run.yaml"))
    return str(folder / "run.yaml")
