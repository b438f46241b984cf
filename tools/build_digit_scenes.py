"""Builds the digit scenes of a config.

python tools/build_digit_scenes.py [--format lvis] [digit_scenes.num_train=200 ...]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detectron2.config import instantiate

from datasets_utils.catalogs import ROOT_VARIABLE
from datasets_utils.digit_scenes import build_digit_scenes
from datasets_utils.register import digit_scenes_root
from projects.diffu_base import get_config
from projects.diffu_base.commands.errors import run_tool

CONFIGS = {"coco": "common/data/digit_scenes", "lvis": "common/data/digit_scenes_lvis"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the scenes that `arguments` name; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=list(CONFIGS), default="coco", help="lvis: long-tailed, in LVIS's format")
    parser.add_argument("--config-file", help="a config that defines `digit_scenes`; default: that of the format")
    parser.add_argument("--root", help=f"folder to build; default ${ROOT_VARIABLE}/digit_scenes[_lvis]")
    parser.add_argument("--overwrite", action="store_true", help="replace scenes that were built with other settings")
    parser.add_argument("opts", nargs="*", help="key=value overrides, e.g. digit_scenes.crowded_fraction=1.0")
    args = parser.parse_args(arguments)

    cfg = get_config(args.config_file or CONFIGS[args.format], *args.opts)
    try:
        settings = instantiate(cfg.digit_scenes)
    except TypeError as error:  # a setting that there is not, or a value of another type
        raise ValueError(f"digit_scenes has {', '.join(map(str, cfg.digit_scenes))}: {error}") from error
    root = Path(args.root) if args.root else digit_scenes_root(lvis=settings.lvis is not None)
    built = build_digit_scenes(root, settings, overwrite=args.overwrite)
    print(f"digit scenes {'built' if built else 'already there'}: {root}")
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main))
