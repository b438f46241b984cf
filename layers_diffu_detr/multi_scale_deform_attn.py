"""Multi-scale deformable attention (Zhu et al. 2021, eq. 3), and the choice between three implementations of it.

Where the package `torch-ms-deform-attn` is installed, its compiled op does the sampling, otherwise pure PyTorch does.
Inference in float32 on a CPU uses PyTorch's embedding bags instead. The environment variable DIFFU_DETR_DEFORM_ATTN,
which is read once at import, forces one implementation for everything: `compiled` or `pytorch`.
"""

import math
import os
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from layers_diffu_detr.tracing import is_exporting

ENV_VARIABLE = "DIFFU_DETR_DEFORM_ATTN"
DeformAttnOp = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def deform_attn_pytorch(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sample `value` bilinearly and sum the samples with weights, in pure PyTorch. Outside of a map, samples are 0.

    Args:
        value: (B, S, heads, D).
        spatial_shapes: (L, 2) int64, (height, width) per level.
        level_start_index: (L,) int64; it is not used here, but the compiled op takes it.
        sampling_locations: (B, Q, heads, L, points, 2), (x, y) in [0, 1] of each level's map.
        attention_weights: (B, Q, heads, L, points).

    Returns:
        (B, Q, heads · D).
    """
    batch, _, heads, dim = value.shape
    shapes = _sizes(spatial_shapes)
    levels = value.permute(0, 2, 3, 1).flatten(0, 1).split([h * w for h, w in shapes], dim=-1)  # L of (B·heads, D, h·w)
    grid = (2 * sampling_locations - 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 1)  # (B·heads, L, Q, points, 2)
    weights = attention_weights.permute(0, 2, 3, 1, 4).flatten(0, 1)  # (B·heads, L, Q, points)
    output = value.new_zeros(())
    for level, ((h, w), features) in enumerate(zip(shapes, levels, strict=True)):
        sampled = F.grid_sample(features.unflatten(-1, (h, w)), grid[:, level], align_corners=False)
        output = output + (sampled * weights[:, None, level]).sum(-1)  # (B·heads, D, Q)
    return output.view(batch, heads, dim, -1).permute(0, 3, 1, 2).flatten(2)


# The numbers of `spatial_shapes` tensors. Reading them from a tensor waits for a GPU, and a graph that is traced could
# not compute with them.
_NUMBERS = WeakTensorKeyDictionary()


def remember_sizes(spatial_shapes: Tensor, sizes: list[list[int]]) -> Tensor:
    """Return `spatial_shapes` (L, 2), and remember that it holds the numbers `sizes`."""
    _NUMBERS[spatial_shapes] = sizes
    return spatial_shapes


def _sizes(spatial_shapes: Tensor) -> list[list[int]]:
    """Height and width of each level, as numbers. Who calls the layers without `remember_sizes` waits once."""
    if spatial_shapes not in _NUMBERS:
        remember_sizes(spatial_shapes, spatial_shapes.tolist())
    return _NUMBERS[spatial_shapes]


def deform_attn_bags(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """`deform_attn_pytorch` without gradients, by `torch.nn.functional.embedding_bag`: weighted sums of a table's rows.

    Each pixel of each head is a row of the table. A bag, the rows that are summed for a query and a head, holds the
    four pixels around each of their points. A border of zeros around every level stands for the pixels outside
    of it. This is fast where PyTorch has FBGEMM, which is on x86 CPUs.
    """
    batch, _, heads, dim = value.shape
    points = attention_weights.shape[-1]
    table, starts = _with_borders(value, _sizes(spatial_shapes))
    height, width = spatial_shapes.repeat_interleave(points, dim=0).unbind(-1)  # (L · points,) each
    x, y = sampling_locations.flatten(3, 4).unbind(-1)  # (B, Q, heads, L · points) each
    (x_low, x_high_weight), (y_low, y_high_weight) = _neighbours(x, width), _neighbours(y, height)

    # Any order of a bag's rows gives the same sum. With the corners before the points, the loops below write long
    # contiguous stretches of memory.
    bags = (*x.shape[:3], 4, x.shape[3])
    weights, rows = x.new_empty(bags), torch.empty(bags, dtype=torch.int32, device=x.device)
    lower = attention_weights.flatten(3) * y_high_weight
    upper = attention_weights.flatten(3) - lower
    for first, part in ((0, upper), (2, lower)):
        torch.mul(part, x_high_weight, out=weights[..., first + 1, :])
        torch.sub(part, weights[..., first + 1, :], out=weights[..., first, :])

    down = (width + 2).int() * heads  # how many rows of the table lie between a pixel and the one below it
    images = torch.arange(batch, dtype=torch.int32, device=x.device).view(-1, 1, 1, 1) * (table.shape[1] * heads)
    offset = images + torch.arange(heads, dtype=torch.int32, device=x.device)[:, None]
    offset = offset + heads * torch.tensor(starts, dtype=torch.int32, device=x.device).repeat_interleave(points)
    upper_left = (y_low * down).add_(x_low, alpha=heads).add_(offset)
    steps: tuple[int | Tensor, ...] = (0, heads, down, down + heads)  # from the upper left pixel to all four
    for corner, step in enumerate(steps):
        torch.add(upper_left, step, out=rows[..., corner, :])
    summed = F.embedding_bag(
        rows.flatten(3).flatten(0, 2),
        table.view(-1, dim),
        per_sample_weights=weights.flatten(3).flatten(0, 2),
        mode="sum",
    )
    return summed.view(batch, -1, heads * dim)


def _with_borders(value: Tensor, shapes: list[list[int]]) -> tuple[Tensor, list[int]]:
    """Surround each level of (B, S, heads, D) by a border of zeros, one pixel wide, and return where each starts."""
    batch, _, heads, dim = value.shape
    areas = [(h + 2) * (w + 2) for h, w in shapes]
    table = value.new_zeros(batch, sum(areas), heads, dim)
    starts = [sum(areas[:level]) for level in range(len(areas))]
    levels = value.split([h * w for h, w in shapes], dim=1)
    for (h, w), level, bordered in zip(shapes, levels, table.split(areas, dim=1), strict=True):
        bordered.unflatten(1, (h + 2, w + 2))[:, 1:-1, 1:-1] = level.unflatten(1, (h, w))
    return table, starts


def _neighbours(location: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Along one axis, the pixel before a location (int32) and the weight of the one after it. Pixel 0 is the border."""
    pixel = (location * size).add_(0.5).clamp_(min=0)
    pixel = torch.minimum(pixel, size + 1.0, out=pixel).nan_to_num_()  # NaN is no row's number
    lower = torch.minimum(pixel.floor(), size.to(pixel.dtype))
    return lower.int(), pixel.sub_(lower)


def _compiled_op() -> DeformAttnOp | None:
    """The package's op; None if the package is not installed, or if it was built without CUDA and there is a GPU."""
    try:
        from torch_ms_deform_attn import _C, ms_deform_attn
    except ImportError:
        return None
    return ms_deform_attn if _C.with_cuda or not torch.cuda.is_available() else None


def choose_deform_attn_op(choice: str) -> tuple[str, DeformAttnOp]:
    """The name and the function of the op that `choice` (`auto`, `compiled` or `pytorch`) means.

    Raises:
        ValueError: `choice` is none of these, or it is `compiled` and the package is missing or cannot use the GPU.
    """
    compiled = _compiled_op() if choice in ("auto", "compiled") else None
    if choice == "compiled" and compiled is None:
        raise ValueError(
            f"{ENV_VARIABLE}=compiled, but the package torch-ms-deform-attn is not installed, or without CUDA"
        )
    if choice not in ("auto", "compiled", "pytorch"):
        raise ValueError(f"{ENV_VARIABLE} is {choice!r}; allowed are auto, compiled, pytorch")
    return ("compiled", compiled) if compiled is not None else ("pytorch", deform_attn_pytorch)


_CHOICE = os.environ.get(ENV_VARIABLE, "auto")
DEFORM_ATTN_OP_NAME, _deform_attn = choose_deform_attn_op(_CHOICE)
_BAGS_ARE_FAST = _CHOICE == "auto" and "fbgemm" in torch.backends.quantized.supported_engines


def _op_for(value: Tensor) -> DeformAttnOp:
    """The op that was chosen at import, or embedding bags where these are faster and no gradient is needed.

    An exported graph gets PyTorch's operations, which every runtime knows.
    """
    if is_exporting():
        return deform_attn_pytorch
    bags = _BAGS_ARE_FAST and not torch.is_grad_enabled() and value.is_cpu and value.dtype == torch.float32
    return deform_attn_bags if bags else _deform_attn


class MultiScaleDeformableAttention(nn.Module):
    """Deformable attention with a residual connection, under detrex's parameter names.

    The projection of `value` does not depend on the queries. It is a method of its own, `project_value`, so that a
    caller can compute it once and attend many times.

    Args:
        embed_dim: C, a multiple of `num_heads`.
        num_heads, num_levels, num_points: attention heads, levels of the feature maps, points per head and level.
        dropout: on the attention's output.

    Raises:
        ValueError: `embed_dim` is not a multiple of `num_heads`.
    """

    def __init__(
        self, embed_dim: int = 256, num_heads: int = 8, num_levels: int = 4, num_points: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim is {embed_dim}; it must be a multiple of num_heads, {num_heads}")
        self.embed_dim, self.num_heads, self.num_levels, self.num_points = embed_dim, num_heads, num_levels, num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dim, samples * 2)
        self.attention_weights = nn.Linear(embed_dim, samples)
        self.value_proj = nn.Linear(embed_dim, embed_dim)
        self.output_proj = nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Start with a direction for each head, in which each point lies one step farther, and with equal weights."""
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions /= directions.abs().max(-1, keepdim=True).values
        steps = torch.arange(1, self.num_points + 1)
        offsets = directions[:, None, None, :] * steps[None, None, :, None]  # (heads, 1, points, 2)
        self.sampling_offsets.bias.copy_(offsets.expand(-1, self.num_levels, -1, -1).flatten())
        for zero in (self.sampling_offsets.weight, self.attention_weights.weight, self.attention_weights.bias):
            nn.init.zeros_(zero)
        for linear in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def project_value(self, value: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """Project (B, S, C) to (B, S, heads, C / heads); the result is 0 where `key_padding_mask` (B, S) is True."""
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0.0)
        return value.unflatten(-1, (self.num_heads, -1))

    def forward(
        self,
        query: Tensor,
        projected_value: Tensor,
        query_pos: Tensor | None = None,
        *,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
    ) -> Tensor:
        """Attend: query + attention(query + query_pos, value), (B, Q, C).

        Args:
            query, query_pos: (B, Q, C).
            projected_value: (B, S, heads, C / heads), from `project_value`.
            reference_points: points (B, Q, L, 2) or boxes (B, Q, L, 4), relative to the padded maps' size.
            spatial_shapes: (L, 2) int64; level_start_index: (L,) int64.
        """
        positioned = query if query_pos is None else query + query_pos
        locations = self._sampling_locations(positioned, reference_points, spatial_shapes)
        weights = self.attention_weights(positioned).unflatten(-1, (self.num_heads, -1)).softmax(-1)
        weights = weights.unflatten(-1, (self.num_levels, self.num_points))
        dtype = torch.promote_types(
            projected_value.dtype, torch.float32
        )  # autocast must not make sampling less precise
        value = projected_value.to(dtype)
        sampled = _op_for(value)(value, spatial_shapes, level_start_index, locations.to(dtype), weights.to(dtype))
        return query + self.dropout(self.output_proj(sampled))

    def _sampling_locations(self, query: Tensor, reference_points: Tensor, spatial_shapes: Tensor) -> Tensor:
        """Where each head samples, (B, Q, heads, L, points, 2).

        An offset from a point is counted in pixels. An offset from a box is counted in halves of the box's size,
        divided by the number of points.
        """
        offsets = self.sampling_offsets(query).unflatten(-1, (self.num_heads, self.num_levels, self.num_points, 2))
        reference = reference_points[:, :, None, :, None, :]
        if reference_points.shape[-1] == 2:
            return torch.addcmul(reference, offsets, 1 / spatial_shapes.flip(-1)[:, None].to(reference))
        return torch.addcmul(reference[..., :2], offsets, reference[..., 2:] * (0.5 / self.num_points))
