"""Any config of the repository made small enough to train for two iterations in a test."""

import functools
from collections.abc import Iterator
from pathlib import Path

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import ResNet
from detectron2.modeling.backbone.resnet import BasicBlock
from omegaconf import DictConfig, ListConfig, OmegaConf

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import use_backbone
from projects.diffu_base.modeling.backbones.swin import SwinTransformer

# Keys that a config may have, and what they become. Classes, slots, sampler, optimizer and data stay the config's.
SIZES = {
    "model.embed_dim": 32,
    "model.num_queries": 20,
    "model.dn_number": 4,
    "model.transformer.encoder.num_layers": 1,
    "model.transformer.encoder.feedforward_dim": 32,
    "model.transformer.decoder.num_layers": 2,
    "model.transformer.decoder.feedforward_dim": 32,
    "model.num_proposals": 20,
    "model.num_heads": 2,
    "model.roi_head.feedforward_dim": 32,
    "model.roi_head.dynamic_conv.dynamic_dim": 8,
    "model.mask_branch.channels": 16,
    "dataloader.train.total_batch_size": 2,
    "dataloader.train.num_workers": 0,
    "dataloader.test.num_workers": 0,
    "train.init_checkpoint": "",
    "train.max_iter": 2,
    "train.eval_period": 0,
    "train.log_period": 1,
    "train.seed": 0,
}
SHORT_EDGES, LONG_EDGE, CROP = (64, 80), 128, (48, 64)
CHANNELS = (8, 8, 16, 24, 32)  # of a ResNet's stem and stages


@functools.cache
def small_run(config_file: str) -> DictConfig:
    """The config of `config_file` with a tiny backbone, few layers and queries, small images and two iterations."""
    cfg = get_config(config_file)
    for key, value in SIZES.items():
        if OmegaConf.select(cfg, key) is not None:
            OmegaConf.update(cfg, key, value)
    for node in list(_nodes(cfg.model)):
        _shrink_backbone(node)
    if "neck" in cfg.model:
        use_backbone(cfg.model, cfg.model.backbone)
    for node in _nodes(cfg.dataloader):
        _shrink_augmentation(node)
    return cfg


def write_small_run(config_file: Path, folder: Path) -> Path:
    """A config file in `folder` that holds `small_run(config_file)`, for tools that read files."""
    path = folder / "small_run.py"
    path.write_text(
        f"from tests.support.small_runs import small_run\n\nglobals().update(small_run({str(config_file)!r}).items())\n"
    )
    return path


def _nodes(tree: DictConfig | ListConfig) -> Iterator[DictConfig]:
    """The mappings of a config tree, the tree itself first."""
    if isinstance(tree, DictConfig):
        yield tree
    for key in tree if isinstance(tree, DictConfig) else range(len(tree)):
        if not OmegaConf.is_interpolation(tree, key) and OmegaConf.is_config(tree[key]):
            yield from _nodes(tree[key])


def _shrink_backbone(node: DictConfig) -> None:
    target = node.get("_target_")
    if target is ResNet:
        norm = node.stem.norm
        node.stem.out_channels = CHANNELS[0]
        node.stages = [
            L(ResNet.make_stage)(
                block_class=BasicBlock,
                num_blocks=1,
                in_channels=CHANNELS[i],
                out_channels=CHANNELS[i + 1],
                stride_per_block=[1 if i == 0 else 2],
                norm=norm,
            )
            for i in range(4)
        ]
    elif target is SwinTransformer:
        node.merge_with(dict(embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 4, 8), window_size=4))


def _shrink_augmentation(node: DictConfig) -> None:
    if "short_edge_length" in node:
        node.short_edge_length = SHORT_EDGES if node.get("sample_style") == "choice" else SHORT_EDGES[0]
        node.max_size = LONG_EDGE
    if "crop_size" in node:
        node.crop_size = CROP
