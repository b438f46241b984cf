"""Swin Transformer as a detection backbone, from timm's layers, with the names and the outputs of the published one.

timm's own Swin classifies images of one size. On maps that its windows do not divide, it shifts before it pads, and it
merges patches at the start of a stage; detection checkpoints were trained with padding first and with names that count
the merging to the stage before.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from timm.layers import DropPath, Mlp, PatchEmbed
from timm.models.swin_transformer import PatchMerging, WindowAttention, window_partition, window_reverse
from torch import Tensor, nn

PATCH_SIZE = 4


class SwinBlock(nn.Module):
    """Attention within windows, then an MLP, each on the normalized map and added to it.

    Args:
        embed_dim, num_heads: C and the attention's heads.
        window_size: side of a window, in cells of the map.
        shift: cells that the windows are moved down and to the right; 0 for every other block.
        drop_path: chance that a training image skips the attention, and likewise the MLP.
    """

    def __init__(self, embed_dim: int, num_heads: int, window_size: int, *, shift: int, drop_path: float):
        super().__init__()
        self.window_size = (window_size, window_size)
        self.shift = shift
        self.norm1 = nn.LayerNorm(embed_dim)
        self.attn = WindowAttention(embed_dim, num_heads, window_size=window_size)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(embed_dim)
        self.mlp = Mlp(embed_dim, hidden_features=4 * embed_dim)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, H, W, C); mask: `shift_mask` of the padded map. Returns (B, H, W, C)."""
        x = x + self.drop_path(self.attend(self.norm1(x), mask if self.shift else None))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def attend(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attention within the windows of the map (B, H, W, C), padded with zeros to whole windows and then shifted."""
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
    """Blocks on one map size; the windows of every second one are shifted by half a window.

    `downsample`, which halves the map for the next stage, belongs to this one in published checkpoints.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, window_size: int, *, drop_paths: Sequence[float], downsample: bool
    ):
        super().__init__()
        self.window_size = window_size
        self.blocks = nn.ModuleList(
            SwinBlock(embed_dim, num_heads, window_size, shift=i % 2 * (window_size // 2), drop_path=drop_path)
            for i, drop_path in enumerate(drop_paths)
        )
        self.downsample = PatchMerging(embed_dim) if downsample else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, H, W, C), before `downsample`."""
        mask = shift_mask(x.shape[1], x.shape[2], self.window_size, x)
        for block in self.blocks:
            x = block(x, mask)
        return x


class SwinTransformer(Backbone):
    """Swin Transformer (https://arxiv.org/abs/2103.14030) without position embedding and classifier.

    The map of stage i is called `p{i}`: stride 4 · 2^i, `embed_dim` · 2^i channels, normalized by a layer norm of its
    own, `norm{i}`. Sides are rounded up: images of any size are padded with zeros at the bottom and on the right.
    Weights of ImageNet expect RGB images with torchvision's mean and deviation, the defaults of `model.pixel_mean` and
    `model.pixel_std`.

    Args:
        embed_dim: channels of the first stage.
        depths: blocks per stage.
        num_heads: attention heads per stage.
        window_size: side of a window, as in the pre-training: its weights have no other size.
        drop_path_rate: of the last block; it rises linearly from 0 at the first.
        out_indices: stages that give a map, the last one among them.

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
    ):
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
        x = self.patch_embed(images)  # (B, H, W, C), as in all of timm's layers here
        maps = {}
        for i, stage in enumerate(self.layers):
            x = stage(x)
            if i in self.out_indices:
                maps[f"p{i}"] = getattr(self, f"norm{i}")(x).permute(0, 3, 1, 2).contiguous()
            if stage.downsample is not None:
                x = stage.downsample(x)
        return maps

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Channels and stride of every map."""
        return {f"p{i}": ShapeSpec(channels=self.channels[i], stride=PATCH_SIZE * 2**i) for i in self.out_indices}

    def pretrained_names(self) -> dict[str, str | None]:
        """Names in the Swin authors' ImageNet files -> names here; None for what detection does not need.

        The files have none of this backbone's output norms, which stay at their initialisation.
        """
        output_norms = tuple(f"norm{i}." for i in self.out_indices)
        names = {name: name for name in self.state_dict() if not name.startswith(output_norms)}
        return names | dict.fromkeys(self._names_of_classification())

    def _names_of_classification(self) -> Iterator[str]:
        for leaf in ("weight", "bias"):
            yield from (f"norm.{leaf}", f"head.{leaf}")
        for i, stage in enumerate(self.layers):
            for j in range(len(stage.blocks)):
                yield f"layers.{i}.blocks.{j}.attn_mask"  # for the pre-training's image size
                yield f"layers.{i}.blocks.{j}.attn.relative_position_index"


def shift_mask(height: int, width: int, window_size: int, like: Tensor) -> Tensor:
    """What shifted windows add to attention: -100 between cells that are no neighbours in the map.

    Shifting by half a window carries the first rows and columns to the end of the map, padded to whole windows. Cells
    attend to those of their own part only.

    Args:
        height, width: of the map before padding.
        window_size: side of a window.
        like: device and dtype of the result.

    Returns:
        (windows, window_size², window_size²), 0 or -100.
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
    """The published initialisation; norms and the patches' convolution keep PyTorch's."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
