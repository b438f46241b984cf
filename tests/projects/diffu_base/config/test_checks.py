import pytest
from omegaconf import OmegaConf

from projects.diffu_base.config.checks import load_config, resolve_device
from tests.projects.diffu_base.engine.runs import CONFIG, arguments
from tools.train_net import argument_parser


def test_overrides_change_the_config():
    cfg = load_config(arguments("train.max_iter=5", "train.clip_grad.params.max_norm=0.5", "+train.note=trial"))
    assert (cfg.train.max_iter, cfg.train.clip_grad.params.max_norm, cfg.train.note) == (5, 0.5, "trial")


def test_num_gpus_0_is_the_cpu():
    assert resolve_device("auto", num_gpus=0) == resolve_device("cuda", num_gpus=0) == "cpu"


def test_arguments_of_a_lazy_call_can_be_added():
    cfg = load_config(arguments("optimizer.amsgrad=True"))
    assert cfg.optimizer.amsgrad


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.max_itr=5", r"no 'max_itr' in train; there is max_iter"),
        ("trian.max_iter=5", r"no 'trian' in the config; there is train"),
        ("train.max_iter.x=5", r"no 'x' in train.max_iter"),
        ("train.max_iter", r"not of the form key=value"),
        ("train.max_iter=0", r"train.max_iter must be an integer of at least 1, got 0"),
        ("train.amp.dtype=half", r"train.amp.dtype must be bfloat16 or float16, got 'half'"),
        ("train.accumulation_steps=1.5", r"train.accumulation_steps must be .*, got 1.5"),
        ("train.checkpointer.max_to_keep=0", r"train.checkpointer.max_to_keep must be None, 1 or more, got 0"),
        ("train.checkpointer.best_mode=best", r"train.checkpointer.best_mode must be max or min, got 'best'"),
        ("train.model_ema.decay=2", r"train.model_ema.decay must be a number in \[0, 1\], got 2"),
        ("train.device=tpu", r"train.device must be auto, cuda or cpu, got 'tpu'"),
    ],
)
def test_wrong_values_are_named(override, message):
    with pytest.raises(ValueError, match=message):
        load_config(arguments(override))


def test_missing_config_file_is_named():
    args = arguments()
    args.config_file = "nowhere.py"
    with pytest.raises(ValueError, match="nowhere.py"):
        load_config(args)


def test_the_common_config_names_every_setting_that_is_checked():
    train = load_config(arguments()).train
    assert OmegaConf.is_dict(train) and CONFIG.is_file()


def test_option_behind_the_overrides_is_named():
    args = argument_parser().parse_args(["--eval-only", "train.init_checkpoint=x.pth", "--config-file", str(CONFIG)])
    with pytest.raises(ValueError, match="--config-file comes after key=value overrides"):
        load_config(args)
