"""`train`: how a run trains, what it keeps and when it is evaluated. Key names are detrex's where it has the option."""

from typing import Any, Literal, Self

import torch
from omegaconf import DictConfig
from pydantic import Field, model_validator

from .base import Options, conflict

AMP_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class AmpOptions(Options):
    """`train.amp`: automatic mixed precision."""

    enabled: bool = Field(False, description="Training's forward pass runs under autocast to `dtype`.")
    dtype: Literal["bfloat16", "float16"] = Field(
        "bfloat16", description="The half-precision type of autocast; float16 adds a gradient scaler."
    )
    evaluate: bool = Field(False, description="Evaluation runs under autocast to `dtype` too.")


class DdpOptions(Options):
    """`train.ddp`: arguments of DistributedDataParallel, for runs of several processes."""

    broadcast_buffers: bool = Field(
        False, description="Every forward pass gives all processes the buffers of the first."
    )
    find_unused_parameters: bool = Field(
        False, description="Parameters without a gradient are searched for in every iteration. No model here has any."
    )
    fp16_compression: bool = Field(False, description="Gradients travel between processes in float16.")


class ClipParams(Options):
    """`train.clip_grad.params`: arguments of torch.nn.utils.clip_grad_norm_."""

    max_norm: float = Field(0.1, gt=0, description="The greatest norm of the gradient of all parameters together.")
    norm_type: float = Field(2, gt=0, description="Which norm: 2 is the Euclidean one.")


class ClipGradOptions(Options):
    """`train.clip_grad`: clipping of the gradient."""

    enabled: bool = Field(False, description="A gradient whose norm is above `params.max_norm` is scaled down to it.")
    params: ClipParams = Field(ClipParams(), description="The norm and its bound.")


class CheckpointerOptions(Options):
    """`train.checkpointer`: which checkpoints a run keeps."""

    period: int = Field(5000, ge=1, description="A checkpoint is written every so many iterations.")
    max_to_keep: int | None = Field(
        5,
        ge=1,
        description="So many of the periodic checkpoints are kept, the newest; null keeps all. model_final.pth and "
        "model_best.pth come on top.",
    )
    best_metric: str = Field(
        "", description="The metric, such as `bbox/AP`, of whose best evaluation model_best.pth is kept; empty: none."
    )
    best_mode: Literal["max", "min"] = Field("max", description="Whether the best metric is the greatest or the least.")


class WandbParams(Options):
    """`train.wandb.params`: arguments of wandb.init; further ones are handed on."""

    model_config = {**Options.model_config, "extra": "allow"}

    project: str = Field("diffu_detr", description="The project in Weights & Biases.")
    name: str | None = Field(None, description="The run's name there; null lets Weights & Biases choose one.")
    dir: str = Field("${train.output_dir}", description="The folder of its local files.")


class WandbOptions(Options):
    """`train.wandb`: logging to Weights & Biases."""

    enabled: bool = Field(False, description="Scalars also go to Weights & Biases (needs the extra `wandb`).")
    params: WandbParams = Field(WandbParams(), description="Arguments of wandb.init.")


class EmaOptions(Options):
    """`train.model_ema`: an exponential moving average of the weights."""

    enabled: bool = Field(False, description="The run keeps averaged weights beside the plain ones.")
    decay: float = Field(0.999, ge=0, le=1, description="The weight of the old average in each update.")
    use_ema_weights_for_eval_only: bool = Field(
        False, description="Evaluation, alone and during training, takes the averaged weights."
    )
    eval_both: bool = Field(
        False, description="Evaluation during training also reports the other weights, as bbox_ema or bbox_raw."
    )


class TrainOptions(Options):
    """`train`: the run."""

    output_dir: str = Field("./output", min_length=1, description="The folder of everything that the run writes.")
    init_checkpoint: str = Field(
        "",
        description="Weights to start from, or to evaluate: a path, a detectron2:// or https:// address, or "
        "package://NAME/FILE, which an installed package brings along; empty starts from scratch.",
    )
    new_classes: bool = Field(
        False,
        description="All rows of class heads start anew if the class names of `init_checkpoint` or of the data are not "
        "known. If both are known, rows of equal names are kept and the others start anew in any case.",
    )
    start_over: bool = Field(
        False,
        description="An earlier run in `output_dir` is moved into its previous_N, and training begins anew.",
    )
    max_iter: int = Field(90_000, ge=1, description="Iterations of the whole run; the schedule stretches with it.")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto takes CUDA where it is there and --num-gpus is not 0, else the CPU; or `cuda`, `cpu`.",
    )
    seed: int = Field(
        -1, lt=2**32, description="Seed of all random numbers; a negative one is drawn, logged and saved."
    )
    tf32: bool | None = Field(
        None, description="true allows TF32 everywhere, false forbids it; null keeps PyTorch's choice."
    )
    cudnn_benchmark: bool = Field(False, description="cuDNN tries its algorithms for every new image size.")
    channels_last: bool = Field(
        True, description="Convolutions' weights and maps lie in memory as NHWC, which their kernels prefer."
    )
    activation_checkpointing: bool = Field(
        False,
        description="Transformer layers and Swin blocks keep their inputs alone and are computed again in the backward "
        "pass: less memory, more time.",
    )
    compile: bool = Field(False, description="The transformer's layers go through torch.compile.")
    amp: AmpOptions = Field(AmpOptions(), description="Mixed precision.")
    ddp: DdpOptions = Field(DdpOptions(), description="Runs of several processes.")
    clip_grad: ClipGradOptions = Field(ClipGradOptions(), description="Clipping of the gradient.")
    accumulation_steps: int = Field(
        1,
        ge=1,
        description="Passes that a batch is cut into, whose gradients are averaged; the batch of one update stays "
        "`total_batch_size`. A loss is divided by the number of objects of its pass.",
    )
    checkpointer: CheckpointerOptions = Field(CheckpointerOptions(), description="What is kept.")
    eval_period: int = Field(
        5000, ge=0, description="An evaluation every so many iterations; 0 evaluates after the last one alone."
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="The run ends after so many evaluations in a row without a better `checkpointer.best_metric`; "
        "null: it does not end before `max_iter`.",
    )
    progress_bar: bool = Field(False, description="A terminal shows a bar with the time left and the loss.")
    report: bool = Field(
        True, description="Training and evaluation end with report.html and thresholds.json in `output_dir`."
    )
    log_period: int = Field(20, ge=1, description="A line of the log every so many iterations.")
    wandb: WandbOptions = Field(WandbOptions(), description="Weights & Biases.")
    model_ema: EmaOptions = Field(EmaOptions(), description="Averaged weights.")

    @model_validator(mode="after")
    def _check_patience(self) -> Self:
        if self.patience is not None and not (self.checkpointer.best_metric and self.eval_period):
            raise conflict("patience", self.patience, "it needs checkpointer.best_metric and an eval_period above 0")
        return self

    @classmethod
    def of(cls, cfg: DictConfig) -> Self:
        """The options of the run `cfg`; see `Options.read` for the errors."""
        return cls.read(cfg.train, "train")

    @property
    def amp_dtype(self) -> torch.dtype | None:
        """Type of the forward pass in training; None for float32."""
        return AMP_DTYPES[self.amp.dtype] if self.amp.enabled else None

    @property
    def eval_dtype(self) -> torch.dtype | None:
        """Type of the forward pass in evaluation; None for float32."""
        return AMP_DTYPES[self.amp.dtype] if self.amp.evaluate else None

    @property
    def clip_arguments(self) -> dict[str, Any] | None:
        """Arguments of torch.nn.utils.clip_grad_norm_; None where nothing is clipped."""
        return self.clip_grad.params.model_dump() if self.clip_grad.enabled else None

    @property
    def evaluates_averages(self) -> bool:
        """Whether evaluation takes the averaged weights."""
        return self.model_ema.enabled and self.model_ema.use_ema_weights_for_eval_only
