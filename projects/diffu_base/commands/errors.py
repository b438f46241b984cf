"""How a command ends: an error of the user is one line, any other error keeps its traceback."""

import errno
import sys
import traceback as tracebacks
from collections.abc import Callable
from typing import Any

USER_ERROR = 2  # exit status; argparse has the same one for wrong arguments
INTERRUPTED = 130  # as shells report a program that Ctrl-C ended
PACKAGES = ("layers_diffu_detr", "datasets_utils", "projects")
NO_DETECTRON2 = "detectron2 is not installed, and PyPI has none of its name; run: diffudetr install-detectron2"
TRACEBACK = "--traceback"
_OURS = (*PACKAGES, "tools", "__main__")  # a tool that runs is `__main__`
_MOST_LINES = 4  # of a message that is joined to one
# What the operating system refuses, whatever the program does.
_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG)


def exit_status(command: Callable[[], int], *, traceback: bool = False) -> int:
    """Call `command` and return its exit status.

    If the user made a mistake, the function prints the line ``error: ...`` on stderr and returns 2. A message of many
    lines is a report, which goes to stdout; its first line is the error. The function lets any other error through.

    Args:
        traceback: print also where a mistake of the user was found.
    """
    try:
        return command()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        message = message_of(error)
        if message is None:
            raise
        if traceback:
            tracebacks.print_exception(error)
        print(f"error: {_in_a_line(message)}", file=sys.stderr)
        return USER_ERROR


def run_tool(main: Callable[[], Any]) -> int:
    """Call the `main` of a program in `tools/`, which reads the command line, and return its exit status: what `main`
    returns, if it is a number, or else 0. ``--traceback`` may stand anywhere."""
    traceback = TRACEBACK in sys.argv
    sys.argv = [word for word in sys.argv if word != TRACEBACK]

    def command() -> int:
        status = main()
        return status if isinstance(status, int) else 0

    return exit_status(command, traceback=traceback)


def message_of(error: Exception) -> str | None:
    """What to tell the user about `error`, or None if it is no mistake of the user.

    If this project's code raised a ValueError, its message is written for the user. If torch or numpy raised it, there
    is a bug, and whoever looks for it needs the traceback.
    """
    if isinstance(error, ModuleNotFoundError):
        return NO_DETECTRON2 if (error.name or "").split(".")[0] == "detectron2" else None
    if isinstance(error, FileNotFoundError) and error.filename is not None:  # open() raised it
        return f"{error.filename}: no such file"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {_lower(error.strerror or str(error))}"
    if isinstance(error, OSError) and error.errno in _REFUSED:
        return _lower(error.strerror or str(error))
    is_message = isinstance(error, FileNotFoundError) or isinstance(error, ValueError) and _raised_here(error)
    return str(error) if is_message else None


def _in_a_line(message: str) -> str:
    """`message` in one line. If it has more than a few, it is printed to stdout, and its first line is left."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if len(lines) <= _MOST_LINES:
        return "; ".join(lines)
    print(message)
    return f"{lines[0]} (all {len(lines)} lines of this message are on stdout)"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _raised_here(error: BaseException) -> bool:
    """Whether the statement that raised `error` is one of this project's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return module.split(".")[0] in _OURS
