"""Masks by dynamic convolution (CondInst, Tian et al. 2020): a mask feature per image, a small network per object."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .chunks import rows_at_a_time


class MaskBranch(nn.Module):
    """Fuses levels of a feature pyramid to the mask feature, at the finest one's resolution.

    Args:
        in_channels: of every level.
        num_levels: how many levels it takes, finest first.
        channels: C within the branch.
        out_channels: of the mask feature.
        num_convs: 3×3 convolutions after the levels are summed.
    """

    def __init__(self, in_channels: int, num_levels: int, channels: int, out_channels: int, num_convs: int = 4):
        super().__init__()
        self.num_levels = num_levels
        self.refine = nn.ModuleList(_conv_norm_relu(in_channels, channels) for _ in range(num_levels))
        tower = [_conv_norm_relu(channels, channels) for _ in range(num_convs)]
        self.tower = nn.Sequential(*tower, nn.Conv2d(channels, out_channels, kernel_size=1))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Levels (B, in_channels, H_l, W_l), finest first, each half as large as the one before, rounded up or down;
        further ones are not used -> (B, out_channels, H_0, W_0)."""
        finest, *coarser = (refine(level) for refine, level in zip(self.refine, levels, strict=False))
        fused = finest
        for i, level in enumerate(coarser, start=1):
            fused = fused + fit(aligned_bilinear(level, 2**i), finest.shape[-2:])
        return self.tower(fused)


def _conv_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class DynamicMaskHead(nn.Module):
    """1×1 convolutions whose weights are predicted per object; no parameters of its own.

    Args:
        in_channels: of the mask feature.
        channels: between the layers.
        num_layers: the last of them has one channel: the mask's logit.

    Attributes:
        num_filters: how many numbers describe an object: every layer's weights, then every layer's biases.
    """

    def __init__(self, in_channels: int = 8, channels: int = 8, num_layers: int = 3):
        super().__init__()
        if min(in_channels, channels, num_layers) < 1:
            raise ValueError(
                f"mask_head has in_channels {in_channels}, channels {channels}, num_layers {num_layers}; each must be "
                "at least 1"
            )
        widths = [in_channels, *[channels] * (num_layers - 1), 1]
        self.shapes = [(out, width) for width, out in zip(widths[:-1], widths[1:], strict=True)]
        self.sizes = [out * width for out, width in self.shapes] + [out for out, _ in self.shapes]
        self.num_filters = sum(self.sizes)

    def forward(self, feature: Tensor, filters: Tensor) -> Tensor:
        """Mask logits (N, H, W) of one image's objects.

        All objects see the one mask feature: their first layers' weights, stacked, multiply it; it is never copied.

        Args:
            feature: (in_channels, H, W).
            filters: (N, num_filters).
        """
        split = filters.split(self.sizes, dim=1)
        weights, biases = split[: len(self.shapes)], split[len(self.shapes) :]
        x = weights[0].reshape(-1, self.shapes[0][1]) @ feature.flatten(1)  # (N · out, HW)
        x = x.view(len(filters), self.shapes[0][0], feature[0].numel()) + biases[0][..., None]
        for weight, bias, shape in zip(weights[1:], biases[1:], self.shapes[1:], strict=True):
            x = torch.baddbmm(bias[..., None], weight.view(-1, *shape), x.relu())
        return x.view(-1, *feature.shape[-2:])

    @torch.no_grad()
    def in_pixels(
        self,
        feature: Tensor,
        filters: Tensor,
        boxes_abs: Tensor,
        *,
        stride: int,
        image_size: tuple[int, int],
        output_size: tuple[int, int],
        threshold: float = 0.5,
    ) -> Tensor:
        """Masks in the output's pixels, in chunks of objects: memory beside the result does not grow with their number.

        Args:
            feature: (in_channels, H, W), of the padded image.
            filters: (N, num_filters).
            boxes_abs: (N, 4) xyxy in the output; a mask ends at its box.
            stride: pixels of the image per cell of the feature.
            image_size: height and width of the image before padding.
            output_size: height and width of the result.
            threshold: on the mask's probability.

        Returns:
            (N, *output_size) bool.
        """
        masks = torch.empty((len(filters), *output_size), dtype=torch.bool, device=filters.device)
        numbers = self._numbers_per_object(feature[0].numel(), stride, output_size)
        chunk = rows_at_a_time(numbers, filters.device)
        for i in range(0, len(filters), chunk):
            part = slice(i, i + chunk)
            probability = aligned_bilinear(self(feature, filters[part]).float().sigmoid()[None], stride)
            probability = fit(probability, image_size)
            if output_size != image_size:
                probability = F.interpolate(probability, size=output_size, mode="bilinear", align_corners=False)
            masks[part] = probability[0] > threshold
            masks[part] &= _inside(boxes_abs[part], output_size)
        return masks

    def _numbers_per_object(self, cells: int, stride: int, output_size: tuple[int, int]) -> int:
        """How many numbers `in_pixels` holds at a time for one object: hidden layers, upsampled, in the output."""
        hidden = 2 * max(out for out, _ in self.shapes) * cells
        return hidden + 2 * stride**2 * cells + output_size[0] * output_size[1]


def num_filters(in_channels: int, channels: int, num_layers: int) -> int:
    """`DynamicMaskHead.num_filters` of these sizes."""
    return DynamicMaskHead(in_channels, channels, num_layers).num_filters


def aligned_bilinear(x: Tensor, factor: int) -> Tensor:
    """Upsample (B, C, H, W) to (B, C, factor · H, factor · W), pixel i of x lying at factor · i + factor // 2.

    The outer pixels repeat the border.
    """
    if factor == 1:
        return x
    height, width = x.shape[-2:]
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    x = F.interpolate(x, size=(factor * height + 1, factor * width + 1), mode="bilinear", align_corners=True)
    x = F.pad(x, (factor // 2, 0, factor // 2, 0), mode="replicate")
    return x[..., : factor * height, : factor * width]


def fit(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (B, C, H, W) cut to `size`, or their border repeated, at the bottom and on the right."""
    x = x[..., : size[0], : size[1]]
    missing = (size[0] - x.shape[-2], size[1] - x.shape[-1])
    return F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate") if any(missing) else x


def sample_masks(masks: Tensor, stride: int) -> Tensor:
    """Masks (N, H, W) at the pixels where a map of `stride` has its values: (N, (H + stride // 2 - 1) // stride, …)."""
    return masks[:, stride // 2 :: stride, stride // 2 :: stride]


def _inside(boxes_abs: Tensor, size: tuple[int, int]) -> Tensor:
    """Which pixels lie in each box (N, 4), its corners cut down to whole pixels: (N, H, W) bool."""
    x1, y1, x2, y2 = boxes_abs.long().unbind(-1)
    y, x = (torch.arange(side, device=boxes_abs.device) for side in size)
    rows = (y >= y1[:, None]) & (y < y2[:, None])
    columns = (x >= x1[:, None]) & (x < x2[:, None])
    return rows[:, :, None] & columns[:, None]
