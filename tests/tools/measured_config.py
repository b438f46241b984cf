"""DiffuDINO on the stub backbone, with images of a few sizes: measured in a second."""

from detectron2.config import LazyCall as L

from datasets_utils.loader import build_test_loader, build_train_loader
from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import multistep
from tests.support.tiny_models import tiny_config
from tests.tools.measured import SizedMapper, sized_records

model = tiny_config("diffu_dino_r50")
dataloader = dict(
    train=L(build_train_loader)(
        dataset=L(sized_records)(), mapper=L(SizedMapper)(), total_batch_size=2, num_workers=0, seed=0
    ),
    test=L(build_test_loader)(dataset=L(sized_records)(), mapper=L(SizedMapper)(), batch_size=1),
)
lr_multiplier = multistep(10, [5])
optimizer = get_config("common/optim").optimizer
optimizer.lr = 1e-3
train = get_config("common/train").train
train.max_iter = 10
train.seed = 0
train.clip_grad.enabled = True
train.model_ema.enabled = True
