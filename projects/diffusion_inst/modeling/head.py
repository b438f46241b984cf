"""DiffusionDet's heads. Each looks into the boxes that it is given, refines them, and gives them to the next head."""

import copy
import math
from collections.abc import Sequence

from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes
from torch import Tensor, nn

from layers_diffu_detr.bbox_embedd import build_class_head
from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, box_xyxy_to_cxcywh
from layers_diffu_detr.ldm.timestep import SineTimestepEmbedding

# The released models were trained with this bound: a head makes a box at most e^_SCALE_CLAMP times as wide or high.
_SCALE_CLAMP = math.log(100000 / 16)


class DynamicConv(nn.Module):
    """Multiplies a region's cells with two matrices that the box's feature predicts (Sparse R-CNN, Sun et al. 2021).

    Args:
        embed_dim: C.
        dynamic_dim: channels between the two matrices.
        roi_size: side of the region, in cells.
    """

    def __init__(self, embed_dim: int = 256, dynamic_dim: int = 64, roi_size: int = 7) -> None:
        super().__init__()
        self.roi_size = roi_size
        self.shape = (embed_dim, dynamic_dim)
        self.dynamic_layer = nn.Linear(embed_dim, 2 * embed_dim * dynamic_dim)
        self.norm1 = nn.LayerNorm(dynamic_dim)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.out_layer = nn.Linear(embed_dim * roi_size**2, embed_dim)
        self.norm3 = nn.LayerNorm(embed_dim)

    def forward(self, features: Tensor, regions: Tensor) -> Tensor:
        """Features (N, C) and regions (N, roi_size², C) of N boxes -> (N, C)."""
        into, out_of = self.dynamic_layer(features).chunk(2, dim=-1)
        cells = self.norm1(regions @ into.view(-1, *self.shape)).relu()
        cells = self.norm2(cells @ out_of.view(-1, *reversed(self.shape))).relu()
        return self.norm3(self.out_layer(cells.flatten(1))).relu()


class RoIHead(nn.Module):
    """One head: self-attention between boxes, dynamic convolution, FFN, timestep conditioning, predictions.

    Args:
        embed_dim, num_classes: C and K.
        dynamic_conv: lets a box's feature interact with its region.
        num_attention_heads, feedforward_dim, dropout: of self-attention and FFN.
        num_class_layers, num_box_layers: number of linear layers before the class and before the box prediction.
        num_filters: F, the number of filters for a box's mask; 0 for a model without masks.
    """

    def __init__(
        self,
        embed_dim: int,
        num_classes: int,
        dynamic_conv: DynamicConv,
        *,
        num_attention_heads: int = 8,
        feedforward_dim: int = 2048,
        dropout: float = 0.0,
        num_class_layers: int = 1,
        num_box_layers: int = 3,
        num_filters: int = 0,
    ) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(embed_dim, num_attention_heads, dropout=dropout, batch_first=True)
        self.inst_interact = dynamic_conv
        self.linear1 = nn.Linear(embed_dim, feedforward_dim)
        self.linear2 = nn.Linear(feedforward_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(embed_dim) for _ in range(3))
        self.block_time_mlp = nn.Sequential(nn.SiLU(), nn.Linear(4 * embed_dim, 2 * embed_dim))
        self.cls_module = _linear_norm_relu(embed_dim, num_class_layers)
        self.reg_module = _linear_norm_relu(embed_dim, num_box_layers)
        self.class_logits = build_class_head(embed_dim, num_classes)
        self.bboxes_delta = nn.Linear(embed_dim, 4)
        self.controller = nn.Linear(embed_dim, num_filters) if num_filters else None
        self.box_transform = Box2BoxTransform(weights=(2.0, 2.0, 1.0, 1.0), scale_clamp=_SCALE_CLAMP)

    def forward(
        self,
        regions: Tensor,
        features: Tensor | None,
        boxes_abs: Tensor,
        time_embed: Tensor,
        *,
        valid: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Refine the boxes of a batch.

        Args:
            regions: (B, Q, S, C), the S cells of each box's region.
            features: (B, Q, C), from the head before; None for the first head, which takes the regions' means.
            boxes_abs: (B, Q, 4) xyxy, the boxes of the regions.
            time_embed: (B, 4C), each image's embedded timestep.
            valid: (B, Q) bool, False for boxes that the others must not attend to; None: there are none.

        Returns:
            The predictions: `pred_logits` (B, Q, K), `boxes_abs` (B, Q, 4) xyxy float32 and, for masks, `filters`
            (B, Q, F). The features (B, Q, C) for the next head.
        """
        features = regions.mean(dim=2) if features is None else features
        features = self.refine(features, regions, valid)
        scale, shift = self.block_time_mlp(time_embed)[:, None].chunk(2, dim=-1)
        timed = features * (1 + scale) + shift
        box_features = self.reg_module(timed)
        deltas = self.bboxes_delta(box_features)
        refined = self.box_transform.apply_deltas(deltas.flatten(0, 1), boxes_abs.flatten(0, 1))
        predictions = {
            "pred_logits": self.class_logits(self.cls_module(timed)),
            "boxes_abs": refined.view_as(boxes_abs),
        }
        if self.controller is not None:
            predictions["filters"] = self.controller(box_features)
        return predictions, features

    def refine(self, features: Tensor, regions: Tensor, valid: Tensor | None = None) -> Tensor:
        """The boxes' features (B, Q, C) after self-attention, the interaction with their regions, and the FFN."""
        hidden_boxes = None if valid is None else ~valid
        attended, _ = self.self_attn(features, features, features, key_padding_mask=hidden_boxes, need_weights=False)
        features = self.norm1(features + self.dropout(attended))
        interaction = self.inst_interact(features.flatten(0, 1), regions.flatten(0, 1)).view_as(features)
        features = self.norm2(features + self.dropout(interaction))
        hidden = self.linear2(self.dropout(self.linear1(features).relu()))
        return self.norm3(features + self.dropout(hidden))


class HeadSeries(nn.Module):
    """Heads in series, each with weights of its own. A head's loss has no gradient for the head that made its boxes.

    Args:
        head: the first head; the others are copies of it.
        num_heads: number of heads.
        embed_dim: C.
        strides: pixels of the image per cell of each map, finest first; powers of two.

    Raises:
        ValueError: num_heads is below 1.
    """

    def __init__(self, head: RoIHead, num_heads: int, *, embed_dim: int, strides: Sequence[int]) -> None:
        super().__init__()
        if num_heads < 1:
            raise ValueError(f"model.num_heads is {num_heads}; it must be at least 1")
        self.head_series = nn.ModuleList(copy.deepcopy(head) for _ in range(num_heads))
        self.time_mlp = SineTimestepEmbedding(embed_dim)
        self.pooler = ROIPooler(
            output_size=head.inst_interact.roi_size,
            scales=[1 / stride for stride in strides],
            sampling_ratio=2,
            pooler_type="ROIAlignV2",
        )
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self, maps: list[Tensor], sizes: Tensor, boxes: Tensor, t: Tensor, *, valid: Tensor | None = None
    ) -> list[dict[str, Tensor]]:
        """Every head's predictions.

        Args:
            maps: (B, C, H_l, W_l), finest first.
            sizes: (B, 4), each image's width, height, width, height.
            boxes: (B, Q, 4) normalized cxcywh.
            t: (B,) int64, the images' timesteps.
            valid: (B, Q) bool, False for boxes that do not count; None: all do.

        Returns:
            Per head `pred_logits` (B, Q, K), `pred_boxes` (B, Q, 4) normalized cxcywh float32 and, for masks, `filters`
            (B, Q, F).
        """
        time_embed = self.time_mlp(t)
        maps = [x.float() for x in maps]  # the pooler rounds boxes to the maps' type, and half precision is too coarse
        sizes = sizes[:, None]
        boxes_abs, features = box_cxcywh_to_xyxy(boxes) * sizes, None
        layers = []
        for head in self.head_series:
            predictions, features = head(self.pool(maps, boxes_abs), features, boxes_abs, time_embed, valid=valid)
            boxes_abs = predictions.pop("boxes_abs")
            layers.append({**predictions, "pred_boxes": box_xyxy_to_cxcywh(boxes_abs / sizes)})
            boxes_abs = boxes_abs.detach()
        return layers

    def pool(self, maps: list[Tensor], boxes_abs: Tensor) -> Tensor:
        """The cells of each box's region, (B, Q, roi_size², C), read from the map that suits the box's size."""
        regions = self.pooler(maps, [Boxes(of_image) for of_image in boxes_abs])
        return regions.flatten(2).mT.unflatten(0, boxes_abs.shape[:2])


def _linear_norm_relu(embed_dim: int, num_layers: int) -> nn.Sequential:
    layers = (
        (nn.Linear(embed_dim, embed_dim, bias=False), nn.LayerNorm(embed_dim), nn.ReLU()) for _ in range(num_layers)
    )
    return nn.Sequential(*(part for layer in layers for part in layer))
