"""Checks the data of a config, or any annotation file in COCO's format with its folder of images.

    python tools/check_dataset.py --config-file CONFIG [key=value ...]
    python tools/check_dataset.py ANNOTATIONS IMAGES [--write-mended FILE]

Prints what is wrong, with examples. The exit status is 0 without faults and 1 with faults.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detectron2.config import instantiate  # noqa: E402
from detectron2.data import MetadataCatalog  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from datasets_utils.catalogs import require_data  # noqa: E402
from datasets_utils.check import check_coco_format, mended  # noqa: E402
from datasets_utils.coco_format import CocoFiles, require_named  # noqa: E402
from projects.diffu_base import get_config  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", default="", help="check the training and the test data of this config")
    parser.add_argument("--quick", action="store_true", help="see whether the images are there, but read none")
    parser.add_argument("--write-mended", default="", metavar="FILE", help="write annotations without faults")
    parser.add_argument("words", nargs="*", help="ANNOTATIONS IMAGES, or with --config-file key=value overrides")
    args = parser.parse_intermixed_args(arguments)
    if not args.config_file and len(args.words) != 2:
        parser.error("name an annotation file and a folder of images, or a --config-file")
    if args.config_file and args.write_mended:
        parser.error("--write-mended takes one annotation file, not a --config-file")
    try:
        return check(args)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error


def check(args: argparse.Namespace) -> int:
    """Print the reports of ``args``; returns the exit status."""
    if args.config_file:
        sets = list(files_of(get_config(args.config_file, *args.words)))
    else:
        sets = [CocoFiles(*args.words, class_file=args.words[0])]
    num_faults = 0
    for files in sets:
        require_named(**files._asdict())
        json_file, image_root, class_file = files
        report = check_coco_format(json_file, image_root, class_file=class_file, read_images=not args.quick)
        print(report)
        num_faults += report.num_faults
    if args.write_mended:
        Path(args.write_mended).write_text(json.dumps(mended(report)))
        print(f"written: {args.write_mended}")
    return int(num_faults > 0)


def files_of(cfg: DictConfig) -> Iterator[CocoFiles]:
    """Where the data of ``cfg.dataloader`` are, training data first; the classes are those of the training data."""
    class_file = ""
    for part in ("train", "test"):
        names = cfg.dataloader[part].dataset.names
        if isinstance(names, DictConfig):  # a call that would register the files
            yield instantiate(names.files)
            continue
        for name in [names] if isinstance(names, str) else names:
            metadata = MetadataCatalog.get(name)
            require_data(name, metadata.json_file, metadata.image_root, source="see docs/datasets.md")
            class_file = class_file or metadata.json_file
            yield CocoFiles(metadata.json_file, metadata.image_root, class_file)


if __name__ == "__main__":
    sys.exit(main())
