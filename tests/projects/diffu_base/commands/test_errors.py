"""The user's errors end in a line; others keep their traceback."""

import numpy as np
import pytest

from projects.diffu_base.commands.errors import exit_status
from projects.diffu_base.config.files import get_config


def status(command) -> int:
    return exit_status(lambda: command() and 0)


def test_a_command_that_succeeds_returns_its_status():
    assert exit_status(lambda: 1) == 1


def test_a_value_error_of_this_project_is_one_line(capsys):
    assert status(lambda: get_config("nowhere")) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: there is no config 'nowhere'") and error.count("\n") == 1


def test_a_missing_file_is_one_line(tmp_path, capsys):
    assert status(lambda: open(tmp_path / "gone.json")) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'gone.json'}: no such file\n"


def test_a_value_error_from_inside_a_library_keeps_its_traceback(capsys):
    with pytest.raises(ValueError, match="reshape"):
        status(lambda: np.zeros(3).reshape(2, 2))
    assert capsys.readouterr().err == ""


def test_a_missing_detectron2_says_what_to_run(capsys):
    def command() -> int:
        raise ModuleNotFoundError("No module named 'detectron2.config'", name="detectron2.config")

    assert exit_status(command) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "detectron2 is not installed" in error and "diffudetr install-detectron2" in error


def test_another_missing_module_keeps_its_traceback():
    def command() -> int:
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    with pytest.raises(ModuleNotFoundError):
        exit_status(command)
