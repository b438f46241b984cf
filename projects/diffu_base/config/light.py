"""Makes models light: they start from EfficientNet-Lite0 and learn one's own data on a machine without a GPU."""

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from projects.diffu_base.modeling.backbones.timm_backbone import TimmBackbone

from .backbones import use_backbone, use_pyramid

# timm's maps 1 to 4 have strides of 4 to 32.
LITE0_MAPS = (1, 2, 3, 4)


def make_light_detr(model: DictConfig) -> None:
    """Give a model of the DETR family a light backbone, three levels, and fewer and narrower layers, in place."""
    use_backbone(model, _lite0())
    _use_lite0_pixels(model)
    model.embed_dim = 128
    model.transformer.num_feature_levels = 3
    model.transformer.encoder.update(num_layers=2, feedforward_dim=512)
    model.transformer.decoder.update(num_layers=3, feedforward_dim=512)
    model.num_queries = 200
    model.select_box_nums_for_evaluation = 100
    if "dn_number" in model:
        model.dn_number = 50


def make_light_heads(model: DictConfig) -> None:
    """Give a model of the DiffusionInst family a light backbone, and fewer and narrower heads, in place."""
    use_pyramid(model, _lite0(), LITE0_MAPS)
    _use_lite0_pixels(model)
    model.embed_dim = 128
    model.update(num_heads=3, num_proposals=200)
    model.roi_head.feedforward_dim = 512
    model.roi_head.dynamic_conv.dynamic_dim = 32
    model.mask_branch.update(channels=64, num_convs=2)


def _lite0() -> DictConfig:
    """EfficientNet-Lite0 of timm with maps of strides 8 to 32; 3.4 million parameters."""
    return L(TimmBackbone)(model_name="tf_efficientnet_lite0", out_indices=LITE0_MAPS[1:])


def _use_lite0_pixels(model: DictConfig) -> None:
    """Let `model` scale images to -1..1, as EfficientNet-Lite0 was trained."""
    model.pixel_mean = [127.5, 127.5, 127.5]
    model.pixel_std = [127.5, 127.5, 127.5]
