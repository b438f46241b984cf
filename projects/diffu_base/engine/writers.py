"""A writer that sends scalars to Weights & Biases."""

from typing import Any

from detectron2.utils.events import EventWriter, get_event_storage


class WandbWriter(EventWriter):
    """Sends every scalar of detectron2's storage to Weights & Biases.

    Args:
        params: arguments of ``wandb.init``.
        config: the run's configuration, as plain values.
        window_size: iterations of median smoothing.

    Raises:
        ValueError: the package is not installed.
    """

    def __init__(self, params: dict[str, Any], config: dict[str, Any], window_size: int = 20) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ValueError("train.wandb.enabled is True, but wandb is not installed: pip install wandb") from error
        self._run = wandb.init(**params, config=config, resume="allow")
        self._window_size = window_size
        self._last_write = -1

    def write(self) -> None:
        """Send what is new since the last call."""
        by_iteration: dict[int, dict[str, float]] = {}
        for name, (value, iteration) in get_event_storage().latest_with_smoothing_hint(self._window_size).items():
            if iteration > self._last_write:
                by_iteration.setdefault(iteration, {})[name] = value
        for iteration in sorted(by_iteration):
            self._run.log(by_iteration[iteration], step=iteration)
            self._last_write = iteration

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
