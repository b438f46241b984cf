"""Model folders of small models with random weights."""

import copy
from pathlib import Path

import torch
from detectron2.config import LazyConfig, instantiate
from omegaconf import DictConfig
from torch import nn

from projects.diffu_base.api.model_folder import info_of, write_model_folder
from projects.diffu_base.engine.ema import EMAState, named_weights
from tests.support.small_runs import small_run

DIFFU_DINO = "projects/diffu_dino/configs/dino-resnet/coco-r50-4scales-50ep.py"
DINO = "projects/diffu_dino/configs/dino-resnet/baseline-dino-r50-4scales-36ep.py"
DIFFUSION_INST = "projects/diffusion_inst/configs/coco-r50-5x.py"


def small_config(config_file: str = DIFFU_DINO) -> DictConfig:
    """The small config of a file, to be changed at will."""
    return copy.deepcopy(small_run(config_file))


def write_small_folder(folder: Path, config_file: str = DIFFU_DINO, *, seed: int = 0) -> Path:
    """Write the model folder of a small model whose random weights give detections of many scores."""
    cfg = small_config(config_file)
    torch.manual_seed(seed)
    model = instantiate(cfg.model)
    weights = named_weights(model)
    for name, weight in weights.items():
        if "class_embed" in name or "cls" in name:  # detectors start with scores near 0
            torch.nn.init.normal_(weight, std=0.2)
    write_model_folder(folder, cfg, weights, info_of(cfg, num_classes=model.num_classes, averaged=False))
    return folder


def write_averaged_run(folder: Path) -> nn.Module:
    """Write what a run with averages leaves: its config, and a checkpoint whose averages are 0; returns its model."""
    cfg = small_config()
    cfg.train.model_ema.update(enabled=True, use_ema_weights_for_eval_only=True)
    model = instantiate(cfg.model)
    averages = EMAState(model, 0.9)
    for average in averages.state.values():
        average.zero_()
    LazyConfig.save(cfg, str(folder / "config.yaml"))
    torch.save({"model": model.state_dict(), "ema_state": averages.state_dict()}, folder / "model_final.pth")
    return model
