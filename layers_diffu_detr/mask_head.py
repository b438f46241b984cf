"""Masks by dynamic convolution (CondInst, Tian et al. 2020): each object has a small network of its own.

An object's network takes the mask feature, which all objects of an image share, and returns the object's mask. The
network consists of 1×1 convolutions, whose weights and biases the detector predicts: the object's filters.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .chunks import rows_at_a_time


class MaskBranch(nn.Module):
    """Makes the mask feature from levels of a feature pyramid, at the resolution of the finest one.

    Args:
        in_channels: channels of every level.
        num_levels: how many levels the branch reads, finest first.
        channels: channels within the branch.
        out_channels: channels of the mask feature.
        num_convs: number of 3×3 convolutions on the sum of the levels.
    """

    def __init__(self, in_channels: int, num_levels: int, channels: int, out_channels: int, num_convs: int = 4) -> None:
        super().__init__()
        self.num_levels = num_levels
        self.refine = nn.ModuleList(_conv_norm_relu(in_channels, channels) for _ in range(num_levels))
        tower = [_conv_norm_relu(channels, channels) for _ in range(num_convs)]
        self.tower = nn.Sequential(*tower, nn.Conv2d(channels, out_channels, kernel_size=1))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Fuse the levels.

        Args:
            levels: (B, in_channels, H_l, W_l), finest first. Each has half the height and width of the one before,
                rounded up or down. Levels beyond `num_levels` are not used.

        Returns:
            The mask feature (B, out_channels, H_0, W_0).
        """
        finest, *coarser = (refine(level) for refine, level in zip(self.refine, levels, strict=False))
        fused = finest
        for i, level in enumerate(coarser, start=1):
            fused = fused + fit(aligned_bilinear(level, 2**i), finest.shape[-2:])
        return self.tower(fused)


def _conv_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


class DynamicMaskHead(nn.Module):
    """Applies each object's network of 1×1 convolutions to the mask feature. The head has no parameters of its own.

    Args:
        in_channels: channels of the mask feature.
        channels: channels between the layers.
        num_layers: number of convolutions; the last one has a single output channel, the mask's logit.

    Attributes:
        num_filters: F, the number of an object's filters: the weights of all layers, then the biases of all layers.

    Raises:
        ValueError: a number is below 1.
    """

    def __init__(self, in_channels: int = 8, channels: int = 8, num_layers: int = 3) -> None:
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

        A single matrix product applies the first layers of all objects, so that the mask feature is not copied for
        each object.

        Args:
            feature: the mask feature (in_channels, H, W).
            filters: (N, F).
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
        """Masks in the pixels of the output image.

        The method computes the masks of a few objects at a time, so that the memory for intermediate results does not
        grow with the number of objects.

        Args:
            feature: the mask feature (in_channels, H, W) of the padded image.
            filters: (N, F).
            boxes_abs: (N, 4) xyxy in the output image. A mask has no pixel outside its box.
            stride: pixels of the image per cell of the feature.
            image_size: height and width of the image before padding.
            output_size: height and width of the result.
            threshold: a pixel belongs to the mask if its probability is larger.

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
        """How many numbers `in_pixels` holds at a time for one object.

        They are those of two hidden layers, of two upsampled masks, and of the mask in the output image.
        """
        hidden = 2 * max(out for out, _ in self.shapes) * cells
        return hidden + 2 * stride**2 * cells + output_size[0] * output_size[1]


def num_filters(in_channels: int, channels: int, num_layers: int) -> int:
    """The attribute `num_filters` of a `DynamicMaskHead` of these sizes, for configs."""
    return DynamicMaskHead(in_channels, channels, num_layers).num_filters


def aligned_bilinear(x: Tensor, factor: int) -> Tensor:
    """Upsample (B, C, H, W) to (B, C, factor · H, factor · W).

    Along each axis, pixel i of `x` comes to lie at factor · i + factor // 2. Pixels between two of these are
    interpolated; those outside repeat the nearest one.
    """
    if factor == 1:
        return x
    height, width = x.shape[-2:]
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    x = F.interpolate(x, size=(factor * height + 1, factor * width + 1), mode="bilinear", align_corners=True)
    x = F.pad(x, (factor // 2, 0, factor // 2, 0), mode="replicate")
    return x[..., : factor * height, : factor * width]


def fit(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring maps (B, C, H, W) to `size`, at the bottom and on the right: cut them off, or repeat their border."""
    x = x[..., : size[0], : size[1]]
    missing = (size[0] - x.shape[-2], size[1] - x.shape[-1])
    return F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate") if any(missing) else x


def sample_masks(masks: Tensor, stride: int) -> Tensor:
    """Read masks at the centres of a feature map's cells.

    Args:
        masks: (N, H, W).
        stride: pixels per cell.

    Returns:
        (N, (H + stride // 2 - 1) // stride, (W + stride // 2 - 1) // stride).
    """
    return masks[:, stride // 2 :: stride, stride // 2 :: stride]


def _inside(boxes_abs: Tensor, size: tuple[int, int]) -> Tensor:
    """Which pixels lie in each box (N, 4), whose corners are rounded towards 0: (N, H, W) bool."""
    x1, y1, x2, y2 = boxes_abs.long().unbind(-1)
    y, x = (torch.arange(side, device=boxes_abs.device) for side in size)
    rows = (y >= y1[:, None]) & (y < y2[:, None])
    columns = (x >= x1[:, None]) & (x < x2[:, None])
    return rows[:, :, None] & columns[:, None]
