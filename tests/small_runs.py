"""`tests.support.small_runs` under its former name."""

from tests.support.small_runs import small_run, write_small_run

__all__ = ["small_run", "write_small_run"]
