"""The model folders that a training writes beside its checkpoints."""

import logging
from pathlib import Path

from detectron2.utils import comm
from omegaconf import DictConfig

from projects.diffu_base.api.model_folder import info_of, write_model_folder
from projects.diffu_base.modeling.detector import Detector

from .ema import named_weights, unwrap
from .evaluation import EvaluationInTraining

logger = logging.getLogger(__name__)


class ModelFolders:
    """Writes a run's weights as model folders into its output folder: those weights that evaluation takes.

    Args:
        cfg: the run's config.
        evaluation: has the model, the averages and the results of the last evaluation.
    """

    def __init__(self, cfg: DictConfig, evaluation: EvaluationInTraining) -> None:
        self.cfg = cfg
        self.evaluation = evaluation

    def write(self, name: str, *, iterations: int) -> None:
        """Write the folder `name`, on rank 0 alone. `iterations` is how many iterations made the weights."""
        if not comm.is_main_process():
            return
        of_run, model = self.evaluation, unwrap(self.evaluation.model)
        assert isinstance(model, Detector)  # see `model_folders`
        averages = of_run.ema if of_run.options.evaluates_averages else None
        weights = named_weights(model) if averages is None else averages.state
        info = info_of(
            self.cfg,
            num_classes=model.num_classes,
            averaged=averages is not None,
            iterations=iterations,
            results=of_run.results,
        )
        folder = Path(of_run.options.output_dir) / name
        write_model_folder(folder, self.cfg, weights, info)
        logger.info(f"Wrote the model folder {folder}")


def model_folders(cfg: DictConfig, evaluation: EvaluationInTraining) -> ModelFolders | None:
    """The run's `ModelFolders`; None if the model is not one of this project's, of which a folder could be used."""
    return ModelFolders(cfg, evaluation) if isinstance(unwrap(evaluation.model), Detector) else None
