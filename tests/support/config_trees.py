"""Comparing config trees."""

from omegaconf import DictConfig, OmegaConf


def slots_that_differ(a: DictConfig, b: DictConfig, prefix: str = "") -> set[str]:
    """Keys under which two trees hold another object or value; objects of one class are compared inside."""
    left, right = (OmegaConf.to_container(tree, resolve=False) for tree in (a, b))
    found = set()
    for key in left.keys() | right.keys():
        x, y = left.get(key), right.get(key)
        if isinstance(x, dict) and isinstance(y, dict) and x.get("_target_") == y.get("_target_"):
            found |= slots_that_differ(a[key], b[key], f"{prefix}{key}.")
        elif x != y:
            found.add(prefix + str(key))
    return found
