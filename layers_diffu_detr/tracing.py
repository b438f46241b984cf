"""Whether `torch.export` is running. A graph cannot choose what to do by the device or by the size of its inputs."""

import torch


def is_exporting() -> bool:
    """True while `torch.export` makes a graph. PyTorch 2.6 cannot tell; the project exports with later ones."""
    ask = getattr(torch.compiler, "is_exporting", None)
    return ask is not None and ask()
