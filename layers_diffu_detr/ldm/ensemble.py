"""Which passes of a chain count. Objects for a sampler's slot `ensemble`."""

from collections.abc import Callable

from layers_diffu_detr.ldm.passes import DenoisingPass

# Chooses, from all passes, those whose detections are pooled.
Ensemble = Callable[[list[DenoisingPass]], list[DenoisingPass]]


class AllPasses:
    """The ensemble of all passes."""

    def __call__(self, passes: list[DenoisingPass]) -> list[DenoisingPass]:
        """The passes whose detections are pooled."""
        return passes


class AllButLastPass:
    """The ensemble of all passes but the last, as in the released DiffusionInst. If there is one pass, it is kept."""

    def __call__(self, passes: list[DenoisingPass]) -> list[DenoisingPass]:
        """The passes whose detections are pooled."""
        return passes[:-1] or passes


class LastPass:
    """The last pass alone: no ensemble."""

    def __call__(self, passes: list[DenoisingPass]) -> list[DenoisingPass]:
        """The passes whose detections are pooled."""
        return passes[-1:]
