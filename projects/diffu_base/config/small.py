"""Makes models so small that two CPU cores can train them from scratch."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import ResNet
from detectron2.modeling.backbone.resnet import BasicBlock
from omegaconf import DictConfig


def make_small_resnet(resnet: DictConfig) -> None:
    """Shrink a ResNet in place to one block per stage, trained from scratch."""
    resnet.freeze_at = 0
    resnet.stem.update(out_channels=32, norm="BN")
    resnet.stages = [
        L(ResNet.make_stage)(
            block_class=BasicBlock,
            num_blocks=1,
            in_channels=in_channels,
            out_channels=out_channels,
            stride_per_block=[stride],
            norm="BN",
        )
        for in_channels, out_channels, stride in ((32, 32, 1), (32, 64, 2), (64, 128, 2), (128, 192, 2))
    ]


def make_small(model: DictConfig) -> None:
    """Shrink every part of `model` in place, for ten classes of digits."""
    make_small_resnet(model.backbone)
    model.neck.input_shapes = {f"res{i}": ShapeSpec(channels=c) for i, c in ((3, 64), (4, 128), (5, 192))}
    model.embed_dim = 128
    model.transformer.num_feature_levels = 3  # a fourth level would have only 3 by 3 cells
    model.transformer.encoder.update(num_layers=2, feedforward_dim=256)
    model.transformer.decoder.update(num_layers=3, feedforward_dim=256)
    model.num_classes = 10
    model.num_queries = 200
    model.select_box_nums_for_evaluation = 100
    if "dn_number" in model:
        model.dn_number = 20
