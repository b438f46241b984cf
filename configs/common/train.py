"""Settings of a training run, at their defaults: projects/diffu_base/config/options/train.py says what each does."""

from projects.diffu_base.config.options.train import TrainOptions

train = TrainOptions().model_dump()
