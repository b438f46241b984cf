"""What the tests on reference values share: the weights' recipe, the stub backbone and readers for `tests/data`."""

import json
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

DATA = Path(__file__).parents[1] / "data"


def _canonical(name: str) -> str:
    """Heads that the decoder and the model share are seeded by the model's own name for them."""
    shared = ".class_embed." in name or ".bbox_embed." in name
    return name.removeprefix("transformer.decoder.") if shared else name


def fill(module: nn.Module, salt: int, public_name: Callable[[str], str] = _canonical) -> nn.Module:
    """Overwrite all parameters in place with values that depend on name, shape and `salt` alone; buffers stay.

    Each parameter has its own numpy RandomState, seeded with crc32(name) xor salt (31 bits), and draws standard
    normals z: z / sqrt(fan_in) for two or more dimensions, 1 + z/10 for vectors called weight, z/10 for other vectors.
    `public_name` gives the reference's name for a parameter.
    """
    with torch.no_grad():
        for listed_name, parameter in module.named_parameters(remove_duplicate=False):
            name = public_name(listed_name)
            seed = (zlib.crc32(name.encode()) ^ salt) & 0x7FFFFFFF
            z = np.random.RandomState(seed).standard_normal(tuple(parameter.shape))
            if parameter.ndim >= 2:
                values = z / np.sqrt(np.prod(parameter.shape[1:]))
            else:
                values = 0.1 * z + (1 if name.endswith("weight") else 0)
            parameter.copy_(torch.as_tensor(values.astype(np.float32)))
    return module


class TinyBackbone(nn.Module):
    """Image (B, 3, H, W) to res3 (16 channels, stride 8), res4 (24 channels, 16), res5 (32 channels, 32)."""

    def __init__(self) -> None:
        super().__init__()
        for level, (name, channels) in enumerate({"res3": 16, "res4": 24, "res5": 32}.items()):
            self.add_module(name, nn.Conv2d(3, channels, kernel_size=8 << level, stride=8 << level))

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {name: conv(images) for name, conv in self.named_children()}


def meta(model: str) -> dict[str, Any]:
    """How the reference detections of `model` were made: sizes, salt, seeds, image sizes, state dict keys."""
    return json.loads((DATA / "golden" / "meta.json").read_text())[model]


def detections(model: str) -> dict[str, np.ndarray]:
    """The reference detections of `model`, array by array."""
    with np.load(DATA / "golden" / f"{model}.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def criterion_entry(name: str) -> dict[str, Any]:
    """One entry of the reference losses: "dino", "diffu_dino", ..., or "inputs"."""
    return json.loads((DATA / "golden" / "criterion.json").read_text())[name]


def _draw_outputs(rng: np.random.RandomState, batch: int, queries: int, classes: int) -> dict[str, torch.Tensor]:
    centre, size = rng.rand(batch, queries, 2) * 0.8 + 0.1, rng.rand(batch, queries, 2) * 0.3 + 0.02
    logits = rng.randn(batch, queries, classes) * 1.5 - 2
    boxes = np.concatenate([centre, size], -1)
    return {
        "pred_logits": torch.tensor(logits, dtype=torch.float32),
        "pred_boxes": torch.tensor(boxes, dtype=torch.float32),
    }


def criterion_inputs() -> tuple[dict[str, Any], list[dict[str, torch.Tensor]], dict[str, Any]]:
    """Outputs, targets and dn_metas from which the reference losses were computed."""
    spec = criterion_entry("inputs")
    rng = np.random.RandomState(spec["salt"])
    batch, classes, layers = len(spec["num_targets"]), spec["num_classes"], spec["decoder_layers"]

    def with_aux(queries: int) -> dict[str, Any]:
        last = _draw_outputs(rng, batch, queries, classes)
        return {**last, "aux_outputs": [_draw_outputs(rng, batch, queries, classes) for _ in range(layers - 1)]}

    outputs = with_aux(spec["num_queries"])
    outputs["enc_outputs"] = _draw_outputs(rng, batch, spec["num_queries"], classes)
    single_padding = 2 * max(spec["num_targets"])
    dn_outputs = with_aux(single_padding * spec["dn_num"])
    dn_metas = {"single_padding": single_padding, "dn_num": spec["dn_num"], "output_known_lbs_bboxes": dn_outputs}
    targets = []
    for n in spec["num_targets"]:
        boxes = np.concatenate([rng.rand(n, 2) * 0.8 + 0.1, rng.rand(n, 2) * 0.3 + 0.02], -1)
        labels = torch.as_tensor(rng.randint(0, classes, n), dtype=torch.int64)
        targets.append({"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": labels})
    return outputs, targets, dn_metas


def full_size_keys(model: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the full-size reference model's state dict, e.g. "diffu_dino_r50_coco"."""
    with lzma.open(DATA / "state_dict_keys.json.xz") as file:
        return {name: tuple(shape) for name, shape in json.load(file)[model].items()}


def reference_images(model: str) -> list[dict[str, Any]]:
    """The reference images of `model` as inputs: uint8 noise, drawn one after another from one RandomState."""
    rng = np.random.RandomState(meta(model)["image_seed"])
    images = [rng.randint(0, 256, (3, *size), dtype=np.uint8) for size in meta(model)["image_sizes"]]
    return [
        {"image": torch.from_numpy(image), "height": image.shape[1], "width": image.shape[2], "image_id": i}
        for i, image in enumerate(images)
    ]
