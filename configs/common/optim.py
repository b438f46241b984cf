"""Optimizer of the DETR family: AdamW, the backbone at a tenth of the learning rate, no decay on normalization."""

import torch
from detectron2.config import LazyCall as L

from layers_diffu_detr.optim import param_groups

optimizer = L(torch.optim.AdamW)(
    # The engine adds the model as params.model before it builds the optimizer.
    params=L(param_groups)(base_lr="${..lr}", backbone_lr_factor=0.1, weight_decay_norm=0.0),
    lr=1e-4,
    betas=(0.9, 0.999),
    weight_decay=1e-4,
    fused=True,  # one kernel for all parameters, on CUDA and on CPU
)
