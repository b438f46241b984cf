"""Queries made from ground truths during training: contrastive denoising (DINO) and diffused boxes (DiffuDETR)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .box_ops import box_cxcywh_to_xyxy, box_xyxy_to_cxcywh, inverse_sigmoid
from .ldm.diffusion import GaussianDiffusion
from .targets import Target, at_most, pad_targets

Filler = Callable[[tuple[int, ...], torch.device], Tensor]


class DenoisingQueries(NamedTuple):
    """P denoising queries per image, to be put before the Q matching queries.

    Attributes:
        content: (B, P, C) label embeddings, 0 where an image has fewer targets than others.
        boxes: (B, P, 4) normalized cxcywh, 0.5 where an image has fewer targets than others.
        attn_mask: (P + Q, P + Q) bool, True where the row's query must not attend to the column's.
        metas: `dn_num` groups of `single_padding` queries each, made from `targets`; read by the criterion.
    """

    content: Tensor
    boxes: Tensor
    attn_mask: Tensor
    metas: dict[str, Any]


class ContrastiveDenoising:
    """Noised copies of the targets, in groups of positives (near) and negatives (farther), DINO section 3.3.

    Each group holds, for N the largest number of targets in the batch, N positives, then N negatives; the groups do not
    see each other, and the matching queries do not see them.

    Args:
        num_classes: labels are replaced by random ones below it.
        dn_number: positives per image over all groups: there are dn_number // N groups, at least one; 0: no queries.
        label_noise_ratio: half of it is the probability that a label is replaced.
        box_noise_scale: corners move by up to this many half sizes (positives), by one to two times it (negatives).
        max_queries: bound of P; None is the larger of 600 and 2 · dn_number. Where it binds, images with more than
            max_queries / 2 targets use a random subset.

    Raises:
        ValueError: num_classes is not positive, dn_number is negative or max_queries is below 2 · dn_number.
    """

    def __init__(
        self,
        num_classes: int,
        dn_number: int = 100,
        label_noise_ratio: float = 0.5,
        box_noise_scale: float = 1.0,
        max_queries: int | None = None,
    ):
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; it must be at least 1")
        if dn_number < 0:
            raise ValueError(f"dn_number is {dn_number}; it must not be negative")
        if max_queries is None:
            max_queries = max(600, 2 * dn_number)
        if max_queries < max(2, 2 * dn_number):
            raise ValueError(f"max_queries is {max_queries}; it must be at least {max(2, 2 * dn_number)}")
        self.num_classes = num_classes
        self.dn_number = dn_number
        self.label_noise_ratio = label_noise_ratio
        self.box_noise_scale = box_noise_scale
        self.max_queries = max_queries

    def __call__(self, targets: list[Target], label_enc: nn.Embedding, num_queries: int) -> DenoisingQueries | None:
        """Draw the queries of a batch.

        Args:
            targets: per image `labels` (n,) and `boxes` (n, 4).
            label_enc: embedding of at least num_classes labels to C channels.
            num_queries: Q, for the mask.

        Returns:
            The queries, or None where there are no targets or dn_number is 0.
        """
        if self.dn_number == 0 or not any(len(t["labels"]) for t in targets):
            return None
        targets = at_most(targets, self.max_queries // 2)
        longest = max(len(t["labels"]) for t in targets)
        groups = max(self.dn_number // longest, 1)
        labels, boxes, valid = pad_targets(targets)
        layout = (groups, 2, longest)  # of the P queries: group, positive or negative, target
        labels = labels[:, None, None].expand(-1, *layout)
        boxes = boxes[:, None, None].expand(-1, *layout, -1)
        valid = valid[:, None, None].expand(-1, *layout).flatten(1)[..., None]  # (B, P, 1)

        content = label_enc(self._noised_labels(labels).flatten(1))
        noised_boxes = self._noised_boxes(boxes).flatten(1, 3)
        return DenoisingQueries(
            content=content.masked_fill(~valid, 0),
            boxes=noised_boxes.masked_fill(~valid, 0.5),
            attn_mask=_group_mask(groups, 2 * longest, num_queries, boxes.device),
            metas={"single_padding": 2 * longest, "dn_num": groups, "targets": targets},
        )

    def _noised_labels(self, labels: Tensor) -> Tensor:
        replaced = torch.rand(labels.shape, device=labels.device) < self.label_noise_ratio / 2
        return torch.where(replaced, torch.randint_like(labels, self.num_classes), labels)

    def _noised_boxes(self, boxes: Tensor) -> Tensor:
        """Move the corners of (B, groups, 2, N, 4) boxes."""
        half_size = torch.cat([boxes[..., 2:], boxes[..., 2:]], dim=-1) / 2
        distance = torch.rand_like(boxes)
        distance[:, :, 1] += 1
        sign = torch.randint_like(boxes, 2) * 2 - 1
        corners = box_cxcywh_to_xyxy(boxes) + sign * distance * half_size * self.box_noise_scale
        noised = box_xyxy_to_cxcywh(corners.clamp(0, 1))
        # Corners may have changed sides; the decoder's references are logits, which bound sizes away from 0.
        return inverse_sigmoid(noised).sigmoid()


class NoisyFiller:
    """Filler boxes sigmoid(N(0, 1)), as the released models were trained."""

    def __call__(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        return torch.randn(shape, device=device).sigmoid()


class CentreFiller:
    """Filler boxes (0.5, 0.5, 0.5, 0.5)."""

    def __call__(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        return torch.full(shape, 0.5, device=device)


class GaussianFiller:
    """Filler boxes N(1/2, 1/6²) per coordinate, width and height at least 1e-4 (DiffusionDet)."""

    def __call__(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        boxes = torch.randn(shape, device=device) / 6 + 0.5  # three deviations are half an image
        return torch.cat([boxes[..., :2], boxes[..., 2:].clamp(min=1e-4)], dim=-1)


class DiffusedQueries:
    """DiffuDETR's training queries: Q boxes per image, targets and fillers, corrupted at a random time, shuffled.

    Args:
        filler: makes the boxes beside the targets, from shape and device.
    """

    def __init__(self, filler: Filler):
        self.filler = filler

    @torch.no_grad()
    def __call__(self, targets: list[Target], num_queries: int, diffusion: GaussianDiffusion) -> tuple[Tensor, Tensor]:
        """Draw the queries of a batch.

        Args:
            targets: per image `labels` (n,) and `boxes` (n, 4); with n > Q a random subset is used.
            num_queries: Q.
            diffusion: corrupts the boxes, one time per image.

        Returns:
            Boxes (B, Q, 4) in [0, 1], normalized cxcywh, and the times (B,) int64, uniform over 0…T-1.
        """
        x_start = diffusion.boxes_to_signal(self.padded_boxes(targets, num_queries))
        t = torch.randint(diffusion.num_timesteps, (len(targets),), device=x_start.device)
        x_t = diffusion.q_sample(x_start, t, diffusion.sample_noise(x_start.shape, x_start.device))
        return _shuffled(diffusion.signal_to_boxes(x_t)), t

    def padded_boxes(self, targets: list[Target], num_queries: int) -> Tensor:
        """Boxes (B, Q, 4): each image's targets, or a random subset if they are more than Q, then fillers."""
        _, boxes, valid = pad_targets(at_most(targets, num_queries))
        padded = self.filler((len(targets), num_queries, 4), boxes.device)
        longest = boxes.shape[1]
        padded[:, :longest] = torch.where(valid[..., None], boxes.to(padded), padded[:, :longest])
        return padded


def _shuffled(boxes: Tensor) -> Tensor:
    """Each image's queries (B, Q, 4) in a random order of its own."""
    order = torch.rand(boxes.shape[:2], device=boxes.device).argsort(dim=1)
    return boxes.gather(1, order[..., None].expand_as(boxes))


def _group_mask(groups: int, group_size: int, num_queries: int, device: torch.device) -> Tensor:
    """True where a query must not see another: denoising queries of a group that is not its own."""
    queries = torch.arange(groups * group_size + num_queries, device=device)
    denoising = queries < groups * group_size
    group = torch.where(denoising, queries // group_size, groups)
    return denoising & (group[:, None] != group)
