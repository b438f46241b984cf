"""Training queries made from ground truth: contrastive denoising (DINO) and diffused boxes (DiffuDETR)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .box_ops import box_cxcywh_to_xyxy, box_xyxy_to_cxcywh, inverse_sigmoid
from .ldm.passes import QueryBoxes
from .targets import Target, at_most, pad_targets
from .training_batch import TrainingBatch

Filler = Callable[[tuple[int, ...], torch.device], Tensor]


class DenoisingQueries(NamedTuple):
    """P denoising queries per image, which stand before the Q matching queries.

    An image with fewer targets than another one of its batch has unused queries.

    Attributes:
        content: (B, P, C) label embeddings, 0 for unused queries.
        boxes: (B, P, 4) normalized cxcywh, 0.5 for unused queries.
        attn_mask: (P + Q, P + Q) bool, True where the row's query must not attend to the column's.
        metas: what the criterion must know, under detrex's names: `dn_num`, the number of groups; `single_padding`, the
            number of queries in a group; `targets`, the targets that the queries were made from.
    """

    content: Tensor
    boxes: Tensor
    attn_mask: Tensor
    metas: dict[str, Any]


class ContrastiveDenoising:
    """Contrastive denoising (DINO, section 3.3): queries made from noised copies of the targets.

    Let N be the largest number of targets in the batch. A group consists of N positive queries, which lie near the
    targets, and N negative ones, which lie farther away. Queries do not attend to those of another group, and the
    matching queries do not attend to denoising queries at all.

    Args:
        num_classes: K; a replaced label becomes a random number below it.
        dn_number: how many positive queries an image has in all groups together. There are dn_number // N groups, but
            at least one. 0: no denoising queries.
        label_noise_ratio: half of it is the probability that a label is replaced.
        box_noise_scale: the corners of a positive query's box move by up to this many half box sizes, those of a
            negative one by once to twice as many.
        max_queries: the most queries that an image may have; None: 600 or 2 · dn_number, whichever is larger. Of more
            than max_queries / 2 targets, an image uses a random subset.

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
    ) -> None:
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
            label_enc: the embedding of labels, with at least num_classes rows of C channels.
            num_queries: Q, the number of matching queries.

        Returns:
            The queries, or None if there are no targets or dn_number is 0.
        """
        if self.dn_number == 0 or not any(len(t["labels"]) for t in targets):
            return None
        targets = at_most(targets, self.max_queries // 2)
        longest = max(len(t["labels"]) for t in targets)
        groups = max(self.dn_number // longest, 1)
        labels, boxes, valid = pad_targets(targets)
        layout = (groups, 2, longest)  # P = groups · 2 (positive, negative) · targets
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
        """Move the corners of boxes (B, groups, 2, N, 4), of which [:, :, 0] are positive and [:, :, 1] negative."""
        half_size = torch.cat([boxes[..., 2:], boxes[..., 2:]], dim=-1) / 2
        distance = torch.rand_like(boxes)
        distance[:, :, 1] += 1
        sign = torch.randint_like(boxes, 2) * 2 - 1
        corners = box_cxcywh_to_xyxy(boxes) + sign * distance * half_size * self.box_noise_scale
        noised = box_xyxy_to_cxcywh(corners.clamp(0, 1))
        # A size is negative if corners have changed sides, and it may be 0 at the image's border. The round trip
        # through logits clamps such sizes to small positive ones.
        return inverse_sigmoid(noised).sigmoid()


class NoisyFiller:
    """Filler boxes whose coordinates are sigmoid(z), z ~ N(0, 1). The released models were trained with them."""

    def __call__(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        return torch.randn(shape, device=device).sigmoid()


class CentreFiller:
    """Filler boxes (0.5, 0.5, 0.5, 0.5): centred, with half the image's width and height."""

    def __call__(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        return torch.full(shape, 0.5, device=device)


class GaussianFiller:
    """Filler boxes with coordinates from N(1/2, 1/6²), and widths and heights of at least 1e-4 (DiffusionDet)."""

    def __call__(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        boxes = torch.randn(shape, device=device) / 6 + 0.5  # half an image is three standard deviations
        return torch.cat([boxes[..., :2], boxes[..., 2:].clamp(min=1e-4)], dim=-1)


class DiffusedQueries:
    """The training queries of a diffusion model: an image's targets and fillers, noised at a random time and shuffled.

    Args:
        filler: (shape, device) -> boxes, which bring the number of an image's boxes to Q.
    """

    def __init__(self, filler: Filler) -> None:
        self.filler = filler

    @torch.no_grad()
    def __call__(self, batch: TrainingBatch) -> tuple[QueryBoxes, Tensor]:
        """See `TrainingStart`. The boxes lie in [0, 1], the times are uniform over 0…T-1.

        Of more than Q targets, an image uses a random subset.
        """
        diffusion = batch.diffusion
        x_start = diffusion.boxes_to_signal(self.padded_boxes(batch.targets, batch.num_queries))
        t = torch.randint(diffusion.num_timesteps, (len(batch.targets),), device=x_start.device)
        x_t = diffusion.q_sample(x_start, t, diffusion.sample_noise(x_start.shape, x_start.device))
        return QueryBoxes(_shuffled(diffusion.signal_to_boxes(x_t))), t

    def padded_boxes(self, targets: list[Target], num_queries: int) -> Tensor:
        """Boxes (B, Q, 4): each image's targets, or a random subset if there are more than Q, then fillers."""
        _, boxes, valid = pad_targets(at_most(targets, num_queries))
        padded = self.filler((len(targets), num_queries, 4), boxes.device)
        longest = boxes.shape[1]
        padded[:, :longest] = torch.where(valid[..., None], boxes.to(padded), padded[:, :longest])
        return padded


def _shuffled(boxes: Tensor) -> Tensor:
    """Put the boxes (B, Q, 4) of each image in a random order."""
    order = torch.rand(boxes.shape[:2], device=boxes.device).argsort(dim=1)
    return boxes.gather(1, order[..., None].expand_as(boxes))


def _group_mask(groups: int, group_size: int, num_queries: int, device: torch.device) -> Tensor:
    """The attention mask (P + Q, P + Q), P = groups · group_size, of denoising and then matching queries.

    It is True where the column is a denoising query of another group than the row. The matching queries count as one
    more group: they attend to each other alone, and every query may attend to them.
    """
    queries = torch.arange(groups * group_size + num_queries, device=device)
    denoising = queries < groups * group_size
    group = torch.where(denoising, queries // group_size, groups)
    return denoising & (group[:, None] != group)
