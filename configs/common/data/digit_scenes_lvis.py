"""Digit scenes with a long tail, in LVIS's format: four frequent, three common and three rare digits.

Build them with `python tools/build_digit_scenes.py --format lvis`. In validation all digits come equally often.
"""

from detectron2.config import LazyCall as L

from datasets_utils.digit_scenes.lvis_format import LvisFormat
from datasets_utils.evaluation import LvisStyleEvaluator
from datasets_utils.sampling import build_repeat_factor_loader
from projects.diffu_base import get_config

_cfg = get_config("common/data/digit_scenes")
digit_scenes, dataloader = _cfg.digit_scenes, _cfg.dataloader
digit_scenes.train_class_weights = (1000, 600, 350, 180, 28, 20, 14, 1.5, 1.5, 1.5)
digit_scenes.lvis = L(LvisFormat)(rare=10, common=100, absent_share=0.5, open_share=0.1)

dataloader.train._target_ = build_repeat_factor_loader
dataloader.train.repeat_thresh = 0.05  # of a thousand images; LVIS has a hundred times as many
dataloader.train.dataset.names = "digit_scenes_lvis_train"
dataloader.test.dataset.names = "digit_scenes_lvis_val"
dataloader.evaluator = L(LvisStyleEvaluator)(
    dataset_name="${..test.dataset.names}", backend="auto", max_dets=300, output_dir=None
)
