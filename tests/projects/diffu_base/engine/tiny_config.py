"""A run of the tiny model that takes a second."""

from detectron2.config import LazyCall as L

from datasets_utils.loader import build_test_loader, build_train_loader
from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import multistep
from tests.projects.diffu_base.engine.tiny import TinyDetector, TinyEvaluator, TinyMapper, tiny_dataset

MAX_ITER = 8

model = L(TinyDetector)(noise=0.1, nan_at=-1)
dataloader = dict(
    train=L(build_train_loader)(
        dataset=L(tiny_dataset)(size=12), mapper=L(TinyMapper)(), total_batch_size=4, num_workers=0, seed=0
    ),
    test=L(build_test_loader)(dataset=L(tiny_dataset)(size=4), mapper=L(TinyMapper)(), batch_size=2),
    evaluator=L(TinyEvaluator)(),
)
lr_multiplier = multistep(MAX_ITER, [6], warmup_iters=2)
optimizer = get_config("common/optim").optimizer
optimizer.lr = 1e-2
train = get_config("common/train").train
train.max_iter = MAX_ITER
train.seed = 7
train.device = "cpu"
train.log_period = 2
train.eval_period = 3
train.checkpointer.period = 3
train.checkpointer.best_metric = "bbox/AP"
train.clip_grad.enabled = True
train.model_ema.enabled = True
train.model_ema.decay = 0.9
train.model_ema.use_ema_weights_for_eval_only = True
