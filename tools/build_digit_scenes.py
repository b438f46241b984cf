"""Builds the digit scenes of a config.

python tools/build_digit_scenes.py [--format lvis] [digit_scenes.num_train=200 ...]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from detectron2.config import LazyConfig, instantiate  # noqa: E402

from datasets_utils.catalogs import ROOT_VARIABLE  # noqa: E402
from datasets_utils.digit_scenes import build_digit_scenes  # noqa: E402
from datasets_utils.register import digit_scenes_root  # noqa: E402

CONFIGS = {
    "coco": REPOSITORY / "configs/common/data/digit_scenes.py",
    "lvis": REPOSITORY / "configs/common/data/digit_scenes_lvis.py",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=list(CONFIGS), default="coco", help="lvis: long-tailed, in LVIS's format")
    parser.add_argument("--config-file", help="a LazyConfig that defines `digit_scenes`; default: that of the format")
    parser.add_argument("--root", help=f"folder to build; default ${ROOT_VARIABLE}/digit_scenes[_lvis]")
    parser.add_argument("--overwrite", action="store_true", help="replace scenes that were built with other settings")
    parser.add_argument("opts", nargs="*", help="key=value overrides, e.g. digit_scenes.crowded_fraction=1.0")
    args = parser.parse_args(arguments)

    config_file = args.config_file or str(CONFIGS[args.format])
    cfg = LazyConfig.apply_overrides(LazyConfig.load(config_file), args.opts)
    try:
        settings = instantiate(cfg.digit_scenes)
        root = Path(args.root) if args.root else digit_scenes_root(lvis=settings.lvis is not None)
        built = build_digit_scenes(root, settings, overwrite=args.overwrite)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"digit scenes {'built' if built else 'already there'}: {root}")


if __name__ == "__main__":
    main()
