"""The tiny model of the reference values, and the predictions and targets of the reference matching and losses.

The reference values were computed by the public code of DiffusionInst.
"""

import json

import numpy as np
import torch
from torch import nn

from layers_diffu_detr.mask_head import sample_masks
from tests.projects.diffusion_inst.tiny import full_heads_model
from tests.support.golden import DATA, fill

CLASSES, QUERIES, SIZE, STRIDE = 6, 30, (96, 128), 4
IMAGE = {"image_id": 0, "height": SIZE[0], "width": SIZE[1]}


def golden() -> dict:
    """`golden/diffusion_inst.json`: sizes, seeds, names of parameters."""
    return json.loads((DATA / "golden" / "diffusion_inst.json").read_text())


def public_name(name: str) -> str:
    """The public code's name for a parameter."""
    return name.replace("mask_branch.refine.", "head.mask_refine.").replace("mask_branch.tower.", "head.mask_head.")


def reference_model(salt: int) -> nn.Module:
    """The model of the references, with weights made from their public names."""
    return fill(full_heads_model(), salt, public_name).eval()


def reference_image() -> torch.Tensor:
    """Uint8 noise, (3, 96, 128)."""
    return torch.from_numpy(np.random.RandomState(golden()["image_seed"]).randint(0, 256, (3, *SIZE), dtype=np.uint8))


def criterion_inputs(salt: int, counts: tuple[int, ...]) -> tuple[dict, list[dict[str, torch.Tensor]]]:
    """Outputs of two heads, and targets; a few queries of each lie near a target."""
    rng = np.random.RandomState(salt)
    boxes = [np.concatenate([rng.rand(n, 2) * 0.8 + 0.1, rng.rand(n, 2) * 0.3 + 0.02], -1) for n in counts]
    labels = [rng.randint(0, CLASSES, n) for n in counts]
    masks = [rng.rand(n, *SIZE) > 0.5 for n in counts]
    heads = [_draw_head(rng, boxes) for _ in range(2)]
    feature = rng.randn(len(counts), 8, SIZE[0] // STRIDE, SIZE[1] // STRIDE)
    targets = [
        {"labels": torch.from_numpy(k), "boxes": _float(b), "masks": sample_masks(torch.from_numpy(m), STRIDE)}
        for k, b, m in zip(labels, boxes, masks, strict=True)
    ]
    return {**heads[0], "aux_outputs": heads[1:], "mask_feature": _float(feature)}, targets


def _draw_head(rng: np.random.RandomState, targets: list[np.ndarray]) -> dict[str, torch.Tensor]:
    batch = len(targets)
    boxes = np.concatenate([rng.rand(batch, QUERIES, 2) * 0.8 + 0.1, rng.rand(batch, QUERIES, 2) * 0.3 + 0.02], -1)
    for of_image, truth in zip(boxes, targets, strict=True):
        near = min(4 * len(truth), QUERIES)
        if near:
            of_image[:near] = np.tile(truth, (4, 1))[:near] * (1 + 0.15 * rng.randn(near, 4))
    logits, filters = rng.randn(batch, QUERIES, CLASSES) * 1.5 - 2, rng.randn(batch, QUERIES, 153) * 0.5
    return {"pred_logits": _float(logits), "pred_boxes": _float(boxes.clip(0.01, 0.99)), "filters": _float(filters)}


def _float(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)
