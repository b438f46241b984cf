"""Parameter groups for the optimizer."""

from collections import defaultdict
from typing import Any

from torch import nn

NORM_LAYERS = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
)


def param_groups(
    model: nn.Module,
    base_lr: float,
    *,
    backbone_lr_factor: float = 0.1,
    weight_decay_norm: float | None = 0.0,
) -> list[dict[str, Any]]:
    """Sort a model's parameters into groups of equal learning rate and weight decay, for any torch optimizer.

    A parameter belongs to the backbone if its name contains ``backbone``. Frozen parameters are left out. A parameter
    that has several names appears once, under the first of them. There are at most four groups, so that fused and
    foreach optimizers work on many parameters at a time.

    Args:
        model: the module to train.
        base_lr: learning rate of everything but the backbone.
        backbone_lr_factor: the backbone learns at ``base_lr * backbone_lr_factor``; 0 or more.
        weight_decay_norm: weight decay of normalization layers; None: the same as that of all other layers.

    Returns:
        One dict per group: ``params``, ``lr`` and, for normalization layers, ``weight_decay``.

    Raises:
        ValueError: a negative factor, or a model without trainable parameters.
    """
    if backbone_lr_factor < 0:
        raise ValueError(f"backbone_lr_factor must be 0 or more, got {backbone_lr_factor}")
    groups: dict[tuple[float, bool], list[nn.Parameter]] = defaultdict(list)
    seen: set[nn.Parameter] = set()
    for module_name, module in model.named_modules():
        is_norm = weight_decay_norm is not None and isinstance(module, NORM_LAYERS)
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            factor = backbone_lr_factor if "backbone" in f"{module_name}.{name}" else 1.0
            groups[base_lr * factor, is_norm].append(parameter)
    if not groups:
        raise ValueError("the model has no trainable parameter: every requires_grad is False")
    return [
        {"params": params, "lr": lr, **({"weight_decay": weight_decay_norm} if is_norm else {})}
        for (lr, is_norm), params in groups.items()
    ]
