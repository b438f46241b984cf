"""`diffudetr zoo`: lists the models with published results."""

import argparse

DESCRIPTION = """List the configs with published results: the AP in the paper (of the masks, where it says so), the
GFLOPs of an image of 800 x 1333 pixels, and where the authors' checkpoint is. None of the AP was measured here.

example:
  diffudetr zoo"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print the table; returns the exit status."""
    from tabulate import tabulate

    from projects.diffu_base.api.zoo import zoo

    rows = []
    for entry in zoo():
        published = "" if entry.published is None else f"{entry.published:.1f}{' (masks)' if entry.is_mask_ap else ''}"
        weights = entry.weights.address if entry.weights else ""
        rows.append((entry.name, entry.summary, published, entry.gflops, weights))
    print(tabulate(rows, ("config", "model", "AP", "GFLOPs", "checkpoint"), floatfmt=".0f", disable_numparse=[2]))
    return 0
