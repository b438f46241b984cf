import pytest

from projects.diffu_base import get_config
from projects.diffu_base.config.checks import check_data, load_config, resolve_device
from projects.diffu_base.config.options.train import TrainOptions
from tests.projects.diffu_base.engine.runs import CONFIG, config
from tools.train_net import argument_parser


def test_overrides_change_the_config():
    cfg = config("train.max_iter=5", "train.clip_grad.params.max_norm=0.5", "+train.note=trial")
    assert (cfg.train.max_iter, cfg.train.clip_grad.params.max_norm, cfg.train.note) == (5, 0.5, "trial")


def test_num_gpus_0_is_the_cpu():
    assert resolve_device("auto", num_gpus=0) == resolve_device("cuda", num_gpus=0) == "cpu"


def test_arguments_of_a_lazy_call_can_be_added():
    cfg = config("optimizer.amsgrad=True")
    assert cfg.optimizer.amsgrad


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.max_itr=5", r"no 'max_itr' in train; there is max_iter"),
        ("trian.max_iter=5", r"no 'trian' in the config; there is train"),
        ("train.max_iter.x=5", r"no 'x' in train.max_iter"),
        ("train.max_iter", r"not of the form key=value"),
        ("train.max_iter=0", r"train.max_iter is 0; .*greater than or equal to 1"),
        ("train.amp.dtype=half", r"train.amp.dtype is 'half'; .*'bfloat16' or 'float16'"),
        ("train.accumulation_steps=1.5", r"train.accumulation_steps is 1.5; .*integer"),
        ("train.checkpointer.max_to_keep=0", r"train.checkpointer.max_to_keep is 0; .*1"),
        ("train.checkpointer.best_mode=best", r"train.checkpointer.best_mode is 'best'; .*'max' or 'min'"),
        ("train.model_ema.decay=2", r"train.model_ema.decay is 2; .*less than or equal to 1"),
        ("train.device=tpu", r"train.device is 'tpu'; .*auto.cpu.cuda"),
    ],
)
def test_wrong_values_are_named(override, message):
    with pytest.raises(ValueError, match=message):
        config(override)


def test_missing_config_file_is_named():
    with pytest.raises(ValueError, match="nowhere.py"):
        load_config("nowhere.py", num_gpus=0)


def test_option_behind_the_overrides_is_named():
    args = argument_parser().parse_args(["--eval-only", "train.init_checkpoint=x.pth", "--config-file", str(CONFIG)])
    with pytest.raises(ValueError, match="--config-file comes after key=value overrides"):
        load_config(str(CONFIG), args.opts, num_gpus=0)


def test_a_key_that_nothing_reads_is_named(caplog):
    config("+train.max_itre=5", "+train.amp.dtyp=float16")
    assert {"train.max_itre", "train.amp.dtyp"} == {message.split()[0] for message in caplog.messages}
    assert "train.max_iter" in caplog.text and "train.amp.dtype" in caplog.text


def test_the_common_settings_are_the_options_at_their_defaults():
    assert TrainOptions.of(get_config("common/train")) == TrainOptions.model_validate(
        {**TrainOptions().model_dump(), "wandb": {"params": {"dir": "./output"}}}
    )


@pytest.mark.parametrize(
    ("processes", "override", "message"),
    [
        (1, "train.accumulation_steps=3", r"train.accumulation_steps is 3; .*4 images"),
        (2, "train.accumulation_steps=4", r"train.accumulation_steps is 4; .*2 images"),
        (3, "train.accumulation_steps=1", r"dataloader.train.total_batch_size is 4; .*3 processes"),
        (8, "dataloader.train.total_batch_size=12", r"dataloader.train.total_batch_size is 12; .*8 processes"),
    ],
)
def test_a_batch_that_cannot_be_cut_is_refused_in_training_alone(monkeypatch, processes, override, message):
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: processes)
    cfg = config(override)
    with pytest.raises(ValueError, match=message):
        check_data(cfg, training=True)
    check_data(cfg, training=False)


@pytest.mark.parametrize(("processes", "passes"), [(1, 4), (2, 2), (4, 1)])
def test_a_batch_that_can_be_cut(monkeypatch, processes, passes):
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: processes)
    check_data(config(f"train.accumulation_steps={passes}"), training=True)
