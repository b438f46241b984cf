"""Evaluates a row of a table in this process."""

from layers_diffu_detr.checkpoint import has_averages
from projects.diffu_base.config.checks import check_data, load_config
from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.evaluation import evaluate_run

from .runs import Evaluation


def evaluate(evaluation: Evaluation, *, num_gpus: int) -> None:
    """Evaluate and write ``results.json``. Averaged weights are taken where the checkpoint has them.

    Args:
        num_gpus: 0 takes the CPU. One process evaluates; the script for a cluster takes several.

    Raises:
        ValueError: the weights do not fit the config, or the config not the data.
        FileNotFoundError: the data are not there.
    """
    cfg = load_config(evaluation.row.config, evaluation.overrides(), num_gpus=num_gpus)
    if TrainOptions.of(cfg).evaluates_averages and not has_averages(evaluation.checkpoint):
        cfg.train.model_ema.use_ema_weights_for_eval_only = False
    check_data(cfg, training=False)
    evaluate_run(cfg, resume=False)
