"""Detects in image files and writes tables and pictures, see `diffudetr predict --help`.

python tools/predict.py IMAGES ... --model MODEL --output FOLDER
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.diffu_base.commands import predict
from projects.diffu_base.commands.errors import exit_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Detect; returns the exit status."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=predict.DESCRIPTION, formatter_class=formatter)
    predict.add_arguments(parser)
    return exit_status(partial(predict.run, parser.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
