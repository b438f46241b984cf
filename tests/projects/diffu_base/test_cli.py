"""The command `diffudetr`: its commands, their help, and how they end."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from projects.diffu_base import __version__
from projects.diffu_base.cli import COMMANDS, main
from projects.diffu_base.config.files import config_names, get_config
from tests.projects.diffu_base.engine.runs import CONFIG, ROOT
from tests.support.custom_tree import FAULTS, write_custom_tree

SMALL = ("train.max_iter=1", "train.eval_period=0")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_custom_tree(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    return write_custom_tree(tmp_path_factory.mktemp("faulty"), faulty=True)


def ends(*arguments: str) -> int:
    """The exit status of `diffudetr` with these arguments, in this process."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


def error_of(capsys) -> str:
    """What stderr says last, which is the user's error and nothing behind it."""
    line = capsys.readouterr().err.rstrip("\n").rpartition("\n")[2]
    assert "error: " in line
    return line


def test_without_a_command_the_commands_are_listed(capsys):
    assert ends() == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    assert ends(name, "--help") == 0
    out = capsys.readouterr().out
    assert "example" in out and f"  diffudetr {name}" in out


def test_help_loads_nothing_heavy():
    """So that it appears at once. In a process of its own, because this one has loaded all of it."""
    program = """
import contextlib, io, sys
from projects.diffu_base.cli import COMMANDS, main
for words in ([], ["--help"], *([name, "--help"] for name in COMMANDS)):
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(words)
heavy = {"torch", "torchvision", "detectron2", "numpy", "omegaconf", "hydra", "pydantic", "PIL", "timm"}
print(sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_unknown_command_is_refused_with_those_there_are(capsys):
    assert ends("tarin") == 2
    assert "invalid choice: 'tarin'" in (error := error_of(capsys)) and "train" in error


def test_version_is_the_packages(capsys):
    assert ends("version") == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_config_lists_every_name_with_what_it_is(capsys):
    assert ends("config") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == config_names()
    assert any(line.endswith("DiffuDINO, ResNet-50, on your own data in COCO's format.") for line in lines)


def test_config_prints_a_config_that_can_be_read_again(tmp_path, capsys):
    assert ends("config", "common/train", "train.seed=3") == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    assert get_config(str(tmp_path / "mine.yaml")) == get_config("common/train", "train.seed=3")


def test_config_explains_every_key_with_its_value_type_default_and_sentence(capsys):
    assert ends("config", "common/train", "train.seed=3", "--explain") == 0
    lines = {line.split(" = ")[0]: line for line in capsys.readouterr().out.splitlines()}
    seed = r"train.seed = 3 +integer < 4294967296 \(default -1\) +Seed of all random numbers.*"
    assert re.fullmatch(seed, lines["train.seed"])


def test_a_reader_that_has_read_enough_is_no_error(tmp_path):
    command = [sys.executable, "-m", "projects.diffu_base.cli", "config", "common/train"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert "Broken" not in process.stderr.read() and process.wait(60) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("diffu_dino/custom",),
        ("common/train", "train.max_itr=3"),
        ("diffu_dino/custom-r50-4scales", "model.sampler.num_steps=0"),
    ],
)
def test_a_mistake_about_configs_is_one_line(arguments, capsys):
    assert ends("config", *arguments) == 2
    assert error_of(capsys).startswith("error: ")


def test_check_reads_an_annotation_file_and_its_images(sound, faulty, tmp_path, capsys):
    assert ends("check", sound["train_json"], sound["train_images"]) == 0
    assert "4 images, 8 annotations" in capsys.readouterr().out
    mended = tmp_path / "mended.json"
    assert ends("check", faulty["train_json"], faulty["train_images"], "--write-mended", str(mended)) == 1
    out = capsys.readouterr().out
    assert all(f"{number} x {kind}" in out for kind, number in FAULTS.items())
    assert len(json.loads(mended.read_text())["images"]) == 7


def test_check_reads_a_config_with_settings_before_and_behind_options(sound, faulty, capsys):
    train, *rest = (f"data.{key}={path}" for key, path in {**sound, "val_json": faulty["train_json"]}.items())
    assert ends("check", "custom_coco", train, "--quick", *rest) == 1
    out = capsys.readouterr().out
    assert out.count("images in") == 2 and "unreadable" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.json", "."), "'nowhere.json': no such file"),
        (("a.json",), "'a.json' is an annotation file; behind it stands its folder of images"),
        (("custom_coco", "--write-mended", "x.json"), "'x.json' is for an annotation file; 'custom_coco' is a config"),
        (("custom_coco",), "json_file is ''; it must be a path"),
        (("nowhere",), "no config 'nowhere'"),
        (("common/train",), "config 'common/train' names no data"),
        (("demo/digits-lvis", "dataloader.train.dataset.names=nowhere"), "'nowhere' is no registered data set"),
    ],
)
def test_a_mistake_in_what_to_check_is_one_line(arguments, message, capsys):
    assert ends("check", *arguments) == 2
    assert message in error_of(capsys)


@pytest.mark.slow
def test_train_then_eval_of_the_file_and_of_the_last_checkpoint(tmp_path):
    trained = tmp_path / "a = b"  # a path that is no plain value of an override
    run = ("--num-gpus", "0", *SMALL)
    assert ends("train", str(CONFIG), *run, f"train.output_dir='{trained}'") == 0
    checkpoint = trained / "model_final.pth"
    assert ends("eval", str(CONFIG), "--checkpoint", str(checkpoint), *run, f"train.output_dir={tmp_path / 'e'}") == 0
    results = [json.loads((folder / "results.json").read_text()) for folder in (trained, tmp_path / "e")]
    assert results[0]["results"]["bbox"]["AP"] == pytest.approx(results[1]["results"]["bbox"]["AP"])
    assert ends("eval", str(CONFIG), "--resume", *run, f"train.output_dir='{trained}'") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "nowhere"), "no config 'nowhere'"),
        (("train", str(CONFIG), "train.max_itr=2"), "there is no 'max_itr'"),
        (("train", str(CONFIG), "train.log_period=0"), "train.log_period is 0"),
        (("train", str(CONFIG), "--num-gpus", "-1"), "--num-gpus must be 0 or more, got -1"),
        (("train", str(CONFIG), "--num-machines", "2", "--num-gpus", "1"), "--num-machines is 2"),
        (("eval", str(CONFIG), "--num-gpus", "0"), "evaluation needs weights"),
        (("eval", str(CONFIG), "--num-gpus", "0", "--checkpoint", "gone.pth"), "gone.pth"),
    ],
)
def test_a_mistake_about_a_run_is_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ends(*arguments) == 2
    assert message in error_of(capsys)


def test_an_internal_error_keeps_its_traceback(tmp_path):
    with pytest.raises(FloatingPointError):
        main(("train", str(CONFIG), "--num-gpus", "0", "model.nan_at=1", f"train.output_dir={tmp_path}"))


def launch(*arguments: str, cwd: Path, processes: int) -> subprocess.CompletedProcess[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *launcher, "-m", "projects.diffu_base.cli", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_torchrun_starts_the_command_in_several_processes(tmp_path):
    run = ("train", str(CONFIG), "--num-gpus", "0", *SMALL, "train.output_dir=out")
    done = launch(*run, cwd=tmp_path, processes=2)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model_final.pth").is_file() and (tmp_path / "out" / "log.txt.rank1").is_file()


@pytest.mark.slow
def test_a_mistake_under_torchrun_has_its_line_and_no_traceback_of_ours(tmp_path):
    done = launch("train", str(CONFIG), "--num-gpus", "0", "train.max_itr=2", cwd=tmp_path, processes=2)
    assert done.returncode != 0
    assert "error: override 'train.max_itr': there is no 'max_itr'" in done.stderr
    assert "raise ValueError" not in done.stderr
