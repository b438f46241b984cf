"""The logs of a run."""

import io
import logging

from projects.diffu_base.engine.logs import set_up_logs


def test_a_log_file_has_no_colours_whatever_a_message_holds(tmp_path):
    set_up_logs(str(tmp_path), ["a_package"])
    for name in ("detectron2", "fvcore", "a_package.part"):
        logging.getLogger(name).info("\x1b[36m| class |\x1b[0m of %s", name)
        logging.getLogger(name).warning("ü")
    lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6 and all("\x1b" not in line for line in lines)
    assert lines[0].endswith(" detectron2 INFO: | class | of detectron2") and lines[-1].endswith("WARNING: ü")


def test_a_stream_that_is_closed_is_left_alone(tmp_path):
    handler = logging.StreamHandler(io.StringIO())
    handler.stream.close()
    logging.getLogger("detectron2").addHandler(handler)
    try:
        set_up_logs(str(tmp_path), [])
    finally:
        logging.getLogger("detectron2").removeHandler(handler)
