"""How a command ends: an error of the user is one line, any other error keeps its traceback."""

import sys
from collections.abc import Callable

USER_ERROR = 2  # exit status; argparse has the same one for wrong arguments
PACKAGES = ("layers_diffu_detr", "datasets_utils", "projects")
NO_DETECTRON2 = "detectron2 is not installed, and PyPI has none of its name; run: diffudetr install-detectron2"


def exit_status(command: Callable[[], int]) -> int:
    """Call `command` and return its exit status.

    If the user made a mistake, the function prints the line ``error: ...`` on stderr and returns 2. It lets any other
    error through.
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
    """What to tell the user about `error`, or None if it is no mistake of the user.

    If this project's code raised a ValueError, its message is written for the user. If torch or numpy raised it, there
    is a bug, and whoever looks for it needs the traceback.
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
