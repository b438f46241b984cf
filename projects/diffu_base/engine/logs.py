"""The logs of a run."""

import logging
import re
from collections.abc import Sequence

from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def set_up_logs(output_dir: str, packages: Sequence[str]) -> None:
    """Send the messages of detectron2, fvcore and `packages` to the terminal and to ``log.txt`` in `output_dir`.

    Files, and a terminal's place if a file or a pipe has it, get no escape sequences of colours, which detectron2 puts
    into the text of messages.
    """
    rank = comm.get_rank()
    # The first two calls are those of detectron2's own set-up, which then finds the loggers made.
    loggers = [setup_logger(output_dir, distributed_rank=rank, name="fvcore")]
    loggers += [setup_logger(output_dir, distributed_rank=rank)]
    loggers += [setup_logger(output_dir, distributed_rank=rank, name=package) for package in packages]
    for handler in {handler for logger in loggers for handler in logger.handlers}:
        if not _writes_to_a_terminal(handler) and not isinstance(handler.formatter, _Uncoloured):
            handler.setFormatter(_Uncoloured(handler.formatter or logging.Formatter()))


def _writes_to_a_terminal(handler: logging.Handler) -> bool:
    stream = getattr(handler, "stream", None)
    return stream is not None and not stream.closed and stream.isatty()


class _Uncoloured(logging.Formatter):
    """What another formatter writes, without escape sequences of colours."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        return _COLOUR.sub("", self.formatter.format(record))
