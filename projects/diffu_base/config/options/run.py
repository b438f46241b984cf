"""The whole config of a run."""

from pydantic import Field

from .base import Options
from .data import DataloaderOptions, OwnDataOptions
from .kinds import Count, Part
from .train import TrainOptions


class RunOptions(Options):
    """What the config of a run has at its top. Other names may stand there too, for the config's own use."""

    train: TrainOptions = Field(description="The run: its length, what it keeps, when it is evaluated.")
    model: Part = Field(
        description="The detector: `DiffuDETR`, `DiffuDINO`, `DiffuDINOInst`, `DiffusionDet` or `DiffusionInst`."
    )
    dataloader: DataloaderOptions = Field(description="The data of training and of evaluation.")
    optimizer: Part = Field(description="How the weights learn: `AdamW`.")
    lr_multiplier: Part = Field(description="How the learning rate changes: `WarmupParamScheduler`.")
    data: OwnDataOptions | None = Field(None, description="Your own data, for the configs that take them.")
    num_classes: Count | None = Field(None, description="The number of classes of your own data: `count_classes`.")
    data_check: Part | None = Field(None, description="Checks your own data before the run: `check_before_training`.")
    digit_scenes: Part | None = Field(None, description="The images of the demo: `DigitSceneSettings`.")
