"""Names of an EfficientNet-Lite in files that follow the package efficientnet_pytorch."""

import re
from collections.abc import Iterable

_OUTSIDE_BLOCKS = {
    "conv_stem": "_conv_stem",
    "bn1": "_bn0",
    "conv_head": "_conv_head",
    "bn2": "_bn1",
    "classifier": "_fc",
}
_IN_FIRST_BLOCKS = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
_IN_OTHER_BLOCKS = {
    "conv_pw": "_expand_conv",
    "bn1": "_bn0",
    "conv_dw": "_depthwise_conv",
    "bn2": "_bn1",
    "conv_pwl": "_project_conv",
    "bn3": "_bn2",
}
_NAME = re.compile(r"(?:(?P<block>blocks\.\d+\.\d+)\.)?(?P<layer>.+)\.(?P<tensor>\w+)")


def efficientnet_pytorch_names(timm_names: Iterable[str]) -> dict[str, str]:
    """Return the names of such a file: its name for a tensor -> timm's name.

    Such a file numbers all blocks in one row, while timm numbers them within their stages. A block without `conv_pwl`
    does not expand its channels.

    Args:
        timm_names: the names in timm's state dict.
    """
    matches = [match for match in map(_NAME.fullmatch, timm_names) if match]
    numbers = {block: i for i, block in enumerate(dict.fromkeys(m["block"] for m in matches if m["block"]))}
    expanding = {m["block"] for m in matches if m["layer"] == "conv_pwl"}
    names = {}
    for match in matches:
        block, layer = match["block"], match["layer"]
        layers = _OUTSIDE_BLOCKS
        if block is not None:
            layers = _IN_OTHER_BLOCKS if block in expanding else _IN_FIRST_BLOCKS
        if layer in layers:
            prefix = "" if block is None else f"_blocks.{numbers[block]}."
            names[f"{prefix}{layers[layer]}.{match['tensor']}"] = match[0]
    return names
