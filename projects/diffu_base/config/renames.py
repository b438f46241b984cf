"""Configs that were saved by an older version: what moved or got another name since."""

from typing import Any

from omegaconf import DictConfig, ListConfig

_DDIM = "layers_diffu_detr.ldm.ddim"
# Class in a saved config -> where it is now.
MOVED = {
    **{f"{_DDIM}.{name}": f"layers_diffu_detr.ldm.renewal.{name}" for name in ("TimeRenewal", "FixedRenewal")},
    **{
        f"{_DDIM}.{name}": f"layers_diffu_detr.ldm.ensemble.{name}"
        for name in ("AllPasses", "AllButLastPass", "LastPass")
    },
}
# Class -> argument in a saved config -> what it is called now.
RENAMED = {f"{_DDIM}.{name}": {"nms": "merge"} for name in ("DDIMSampler", "SinglePass")}


def update_names(cfg: Any) -> None:
    """Give everything in a saved config, in place, the names that it has now."""
    if isinstance(cfg, ListConfig):
        for item in cfg:
            update_names(item)
    if not isinstance(cfg, DictConfig) or cfg._is_none():
        return
    target = cfg.get("_target_")
    if target in MOVED:
        cfg["_target_"] = MOVED[target]
    for old, new in RENAMED.get(target, {}).items():
        if old in cfg and new not in cfg:
            cfg[new] = cfg._get_node(old)
            del cfg[old]
    for key in cfg:
        update_names(cfg._get_node(key))
