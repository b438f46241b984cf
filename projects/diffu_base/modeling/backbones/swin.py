"""Swin Transformer as a detection backbone, made of timm's layers.

Its outputs and parameter names are those of the Swin that published detectors were trained with. timm's own Swin, which
classifies images of one size, differs in two ways. If a map's sides are no multiples of the window's, timm's Swin
shifts the windows and then pads the map; the published one pads first. In timm's Swin a stage begins with the merging
of patches; in the published one the stage before ends with it.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from timm.layers import DropPath, Mlp, PatchEmbed
from timm.models.swin_transformer import PatchMerging, WindowAttention, window_partition, window_reverse
from torch import Tensor, nn

PATCH_SIZE = 4


class SwinBlock(nn.Module):
    """Attention within windows, then an MLP. Each works on the normalized map, and its result is added to the map.

    Args:
        embed_dim, num_heads: C and the number of attention heads.
        window_size: side of a window, in cells of the map.
        shift: by how many cells the windows are moved down and to the right; 0 in every other block.
        drop_path: the probability that a training image skips the attention; the MLP has the same.
    """

    def __init__(self, embed_dim: int, num_heads: int, window_size: int, *, shift: int, drop_path: float) -> None:
        super().__init__()
        self.window_size = (window_size, window_size)
        self.shift = shift
        self.norm1 = nn.LayerNorm(embed_dim)
        self.attn = WindowAttention(embed_dim, num_heads, window_size=window_size)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.mlp = Mlp(embed_dim, hidden_features=4 * embed_dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """A map x (B, H, W, C) and its `shift_mask` -> (B, H, W, C)."""
        x = x + self.drop_path(self.attend(self.norm1(x), mask if self.shift else None))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attention within the windows of a map (B, H, W, C), which zeros pad to whole windows before it is shifted."""
        batch, height, width, channels = x.shape
        x = F.pad(x, (0, 0, 0, -width % self.window_size[1], 0, -height % self.window_size[0]))
        padded_height, padded_width = x.shape[1:3]
        x = torch.roll(x, (-self.shift, -self.shift), dims=(1, 2)) if self.shift else x
        windows = window_partition(x, self.window_size).flatten(1, 2)  # (B · windows, cells, C)
        windows = self.attn(windows, mask=mask).view(-1, *self.window_size, channels)
        x = window_reverse(windows, self.window_size, padded_height, padded_width)
        x = torch.roll(x, (self.shift, self.shift), dims=(1, 2)) if self.shift else x
        return x[:, :height, :width]


class SwinStage(nn.Module):
    """The blocks that work on maps of one size. Every second block's windows are shifted by half a window.

    `downsample` halves the map for the next stage. This stage holds it, because published checkpoints name its weights
    as a part of this stage, but `forward` does not apply it.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, window_size: int, *, drop_paths: Sequence[float], downsample: bool
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.blocks = nn.ModuleList(
            SwinBlock(embed_dim, num_heads, window_size, shift=i % 2 * (window_size // 2), drop_path=drop_path)
            for i, drop_path in enumerate(drop_paths)
        )
        self.downsample = PatchMerging(embed_dim) if downsample else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C), without `downsample`."""
        mask = shift_mask(x.shape[1], x.shape[2], self.window_size, x)
        for block in self.blocks:
            x = block(x, mask)
        return x


class SwinTransformer(Backbone):
    """Swin Transformer (https://arxiv.org/abs/2103.14030) without position embedding and classifier.

    The map of stage i is called `p{i}`. It has stride 4 · 2^i and `embed_dim` · 2^i channels, and a layer norm of its
    own, `norm{i}`, normalizes it. Images may have any size; zeros at the bottom and on the right pad them, so that the
    sides of maps are rounded up. Weights that were pre-trained on ImageNet expect RGB images with torchvision's mean
    and deviation, which are the defaults of `model.pixel_mean` and `model.pixel_std`.

    Args:
        embed_dim: channels of the first stage.
        depths: number of blocks in each stage.
        num_heads: number of attention heads in each stage.
        window_size: side of a window. It must be that of the pre-training, whose weights fit no other.
        drop_path_rate: the probability that the last block is skipped; it rises linearly from 0 at the first block.
        out_indices: the stages whose maps are returned; the last stage must be among them.

    Raises:
        ValueError: `depths` and `num_heads` differ in length, or `out_indices` do not fit them.
    """

    def __init__(
        self,
        embed_dim: int,
        depths: Sequence[int],
        num_heads: Sequence[int],
        *,
        window_size: int = 7,
        drop_path_rate: float = 0.2,
        out_indices: Sequence[int] = (1, 2, 3),
    ) -> None:
        super().__init__()
        last = len(depths) - 1
        if len(num_heads) != len(depths):
            raise ValueError(f"num_heads {tuple(num_heads)} needs one number per stage; depths is {tuple(depths)}")
        if last not in out_indices or not set(out_indices) <= set(range(len(depths))):
            raise ValueError(
                f"out_indices is {tuple(out_indices)}; allowed are numbers from 0 to {last}, {last} among them: the "
                "weights of a stage that leads to no map would never be trained"
            )
        self.channels = [embed_dim * 2**i for i in range(len(depths))]
        self.out_indices = sorted(out_indices)
        self.patch_embed = PatchEmbed(
            img_size=None,
            patch_size=PATCH_SIZE,
            embed_dim=embed_dim,
            norm_layer=nn.LayerNorm,
            output_fmt="NHWC",
            dynamic_img_pad=True,
        )
        rates = torch.linspace(0, drop_path_rate, sum(depths), device="cpu").split(list(depths))
        self.layers = nn.ModuleList(
            SwinStage(channels, heads, window_size, drop_paths=drop_paths.tolist(), downsample=i < last)
            for i, (channels, heads, drop_paths) in enumerate(zip(self.channels, num_heads, rates, strict=True))
        )
        for i in self.out_indices:
            self.add_module(f"norm{i}", nn.LayerNorm(self.channels[i]))
        self.apply(_reset_parameters)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) to {"p{i}": (B, C_i, ceil(H / stride_i), ceil(W / stride_i))}."""
        x = self.patch_embed(images)  # (B, H, W, C), the layout of timm's layers
        maps = {}
        for i, stage in enumerate(self._stages):
            x = stage(x)
            if i in self.out_indices:
                maps[f"p{i}"] = getattr(self, f"norm{i}")(x).permute(0, 3, 1, 2).contiguous()
            if stage.downsample is not None:
                x = stage.downsample(x)
        return maps

    @property
    def _stages(self) -> list[SwinStage]:
        return cast(list[SwinStage], self.layers)

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every map."""
        return {f"p{i}": ShapeSpec(channels=self.channels[i], stride=PATCH_SIZE * 2**i) for i in self.out_indices}

    def pretrained_names(self) -> dict[str, str | None]:
        """Names in the ImageNet files of Swin's authors -> names here, or None for what detection does not need.

        The files lack this backbone's output norms `norm{i}`; these keep their initialisation.
        """
        output_norms = tuple(f"norm{i}." for i in self.out_indices)
        names = {name: name for name in self.state_dict() if not name.startswith(output_norms)}
        return names | dict.fromkeys(self._names_of_classification())

    def _names_of_classification(self) -> Iterator[str]:
        for leaf in ("weight", "bias"):
            yield from (f"norm.{leaf}", f"head.{leaf}")
        for i, stage in enumerate(self._stages):
            for j in range(len(stage.blocks)):
                yield f"layers.{i}.blocks.{j}.attn_mask"  # fits only the image size of the pre-training
                yield f"layers.{i}.blocks.{j}.attn.relative_position_index"


def shift_mask(height: int, width: int, window_size: int, like: Tensor) -> Tensor:
    """The mask that attention within shifted windows needs: it keeps apart cells that are not neighbours in the map.

    A map is padded to whole windows and then shifted by half a window. The shift moves its first rows and columns to
    the end, so that the last windows hold parts from both ends of the map. A cell may attend only to cells of its own
    part.

    Args:
        height, width: of the map before padding.
        window_size: side of a window.
        like: a tensor with the device and dtype of the result.

    Returns:
        (windows, window_size², window_size²), what is added to the attention's logits: 0, or -100 between two parts.
    """
    shift = window_size // 2

    def parts(side: int) -> Tensor:
        padded = side + -side % window_size
        cells = torch.arange(padded, device=like.device)
        return (cells >= padded - window_size).long() + (cells >= padded - shift)

    part = 3 * parts(height)[:, None] + parts(width)
    windows = window_partition(part[None, :, :, None], (window_size, window_size)).flatten(1)
    return (windows[:, :, None] != windows[:, None, :]).to(like.dtype) * -100.0


def _reset_parameters(module: nn.Module) -> None:
    """Initialise linear layers as Swin's authors do. Norms and convolutions keep PyTorch's initialisation."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
