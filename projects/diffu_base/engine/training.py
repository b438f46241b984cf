"""A training run, put together from its configuration."""

from typing import Any

from detectron2.config import instantiate
from detectron2.utils import comm
from omegaconf import DictConfig

from projects.diffu_base.api.class_names import classes_of_config
from projects.diffu_base.config.options.train import TrainOptions

from .build import build_loader, build_optimizer, new_model, wrap_ddp
from .checkpoint import RunCheckpointer
from .ema import EMAState
from .evaluation import EvaluationInTraining
from .hooks import build_hooks
from .model_folders import model_folders
from .results import Results
from .rng import seed_everything, stream_of_rank
from .starting_weights import CLASS_NAMES, load_starting_weights
from .trainer import Trainer


def train(cfg: DictConfig, resumed: dict[str, Any] | None = None) -> Results:
    """Run the training of ``cfg`` up to ``train.max_iter``, evaluation included.

    Args:
        resumed: checkpoint to continue from, see `load_last`; None starts a new run.

    Returns:
        Results of the last evaluation; empty on all ranks but 0, and if the config evaluates nothing.
    """
    options = TrainOptions.of(cfg)
    start_iter = 0 if resumed is None else resumed["iteration"] + 1
    class_names = getattr(classes_of_config(cfg), "names", None)
    seed_everything(options.seed)  # every rank has the same seed, so initial weights are equal
    model = new_model(cfg.model, options)
    if resumed is None and options.init_checkpoint:
        load_starting_weights(model, options.init_checkpoint, class_names=class_names, new_classes=options.new_classes)
    optimizer = build_optimizer(cfg.optimizer, model)
    model = wrap_ddp(model, options.ddp)
    trainer = Trainer(
        model,
        build_loader(cfg.dataloader.train, seed=options.seed, start_iter=start_iter),
        optimizer,
        amp_dtype=options.amp_dtype,
        clip_grad=options.clip_arguments,
        accumulation_steps=options.accumulation_steps,
        output_dir=options.output_dir,
    )
    ema = EMAState(model, options.model_ema.decay) if options.model_ema.enabled else None
    checkpointer = RunCheckpointer(
        model,
        options.output_dir,
        max_to_keep=options.checkpointer.max_to_keep,
        extra={"seed": options.seed, CLASS_NAMES: class_names},
        trainer=trainer,
        **({} if ema is None else {"ema_state": ema}),
    )
    evaluation = EvaluationInTraining(model, ema, cfg.dataloader, options)
    schedule = instantiate(cfg.lr_multiplier)
    folders = model_folders(cfg, evaluation)
    trainer.register_hooks(build_hooks(model, ema, checkpointer, schedule, evaluation, options, folders))
    seed_everything(options.seed + comm.get_rank())  # every rank draws its own noise
    if resumed is not None:
        trainer.resume_rng = stream_of_rank(checkpointer.restore(resumed)["rng_streams"])
    trainer.train(start_iter, options.max_iter)
    return evaluation.results
