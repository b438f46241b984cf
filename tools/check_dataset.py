"""Checks the data of a config, or any annotation file in COCO's format with its folder of images.

    python tools/check_dataset.py --config-file CONFIG [key=value ...]
    python tools/check_dataset.py ANNOTATIONS IMAGES [--write-mended FILE]

Prints what is wrong, with examples. The exit status is 0 without faults and 1 with faults; 2: nothing could be checked.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.diffu_base.commands.check import check, check_config
from projects.diffu_base.commands.errors import run_tool


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what `arguments` name; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default="", help="check the training and the test data of this config")
    parser.add_argument("--quick", action="store_true", help="see whether the images are there, but read none")
    parser.add_argument("--write-mended", default="", metavar="FILE", help="write annotations without faults")
    parser.add_argument("words", nargs="*", help="ANNOTATIONS IMAGES, or with --config-file key=value overrides")
    args = parser.parse_intermixed_args(arguments)
    if args.config_file and args.write_mended:
        parser.error("--write-mended takes one annotation file, not a --config-file")
    if args.config_file:
        return int(check_config(args.config_file, args.words, read_images=not args.quick) > 0)
    if len(args.words) != 2:
        parser.error("name an annotation file and a folder of images, or a --config-file")
    return int(check(args.words, read_images=not args.quick, mended_file=args.write_mended) > 0)


if __name__ == "__main__":
    sys.exit(run_tool(main))
