"""How a command ends: an error of the user is one line, any other error keeps its traceback."""

import sys
from collections.abc import Callable

USER_ERROR = 2  # exit status, the one that argparse has for wrong arguments
PACKAGES = ("layers_diffu_detr", "datasets_utils", "projects")
NO_DETECTRON2 = "detectron2 is not installed, and PyPI has none of its name; run: diffudetr install-detectron2"


def exit_status(command: Callable[[], int]) -> int:
    """Call `command` and return its exit status.

    An error of the user ends as the line ``error: ...`` on stderr and status 2. Any other error is raised on.
    """
    try:
        return command()
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        message = message_of(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return USER_ERROR


def message_of(error: Exception) -> str | None:
    """What to tell the user about `error`; None where the user is not its cause.

    A ValueError that this project's code raised tells the user what is wrong. One from inside torch or numpy tells
    whoever debugs it, by its traceback.
    """
    if isinstance(error, ModuleNotFoundError):
        return NO_DETECTRON2 if (error.name or "").split(".")[0] == "detectron2" else None
    if isinstance(error, FileNotFoundError) and error.filename is not None:  # open() raised it
        return f"{error.filename}: no such file"
    return str(error) if isinstance(error, FileNotFoundError) or _raised_here(error) else None


def _raised_here(error: BaseException) -> bool:
    """Whether the statement that raised `error` is one of this project's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return module.split(".")[0] in PACKAGES
