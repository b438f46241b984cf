"""`diffudetr export`: writes a trained model as one graph, checks the file and prints the result."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import ndarray

    from projects.diffu_base.api.export.checked import Report
    from projects.diffu_base.api.inputs import Source

DESCRIPTION = """Write a trained model as one file, a graph from image and noise to boxes, scores and classes. The
command then runs the file on images and compares it with PyTorch. The file stays only if both detect the same.

MODEL is a model folder, the output folder of a training, a checkpoint file that lies beside its config.yaml, or a
config's name together with --checkpoint.

example:
  diffudetr export --format onnx --model output/mine --size 800 1333 --images photos/ --output mine.onnx"""
CHECKED = 4  # images of the test data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--format", required=True, choices=("onnx", "torch-export"), help="the format of the file")
    parser.add_argument("--model", required=True, metavar="MODEL", help="a folder, a checkpoint or a config's name")
    parser.add_argument("--checkpoint", metavar="FILE", help="the weights for a config's name")
    parser.add_argument(
        "--size", required=True, type=int, nargs=2, metavar=("H", "W"), help="height and width of an image"
    )
    parser.add_argument("--fixed-size", action="store_true", help="the file takes images of this size alone")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images that go in at a time, default 1")
    parser.add_argument("--steps", type=int, metavar="N", help="passes of the network; default: the model's")
    parser.add_argument("--output", metavar="FILE", help="default: detector.onnx or detector.pt2")
    parser.add_argument(
        "--images",
        nargs="+",
        metavar="IMAGES",
        help=f"files, folders, globs to check on; default: {CHECKED} of the config's test data",
    )


def run(args: argparse.Namespace) -> int:
    """Export, check and print; returns the exit status."""
    import numpy as np

    from projects.diffu_base.api.export.checked import InputSize, export_detector
    from projects.diffu_base.api.export.formats import FORMATS
    from projects.diffu_base.api.inputs import sources_of
    from projects.diffu_base.api.pretrained import from_pretrained

    for option, value in (("--size", min(args.size)), ("--batch", args.batch)):
        if value < 1:
            raise ValueError(f"{option} is {value}; it must be at least 1")
    form = FORMATS[args.format]()
    predictor = from_pretrained(args.model, device="cpu", steps=args.steps, checkpoint=args.checkpoint)
    images = [_read(source) for source in sources_of(args.images or _test_images(predictor.cfg))]
    if predictor.model.input_format == "BGR":
        images = [np.ascontiguousarray(image[..., ::-1]) for image in images]
    path = Path(args.output or f"detector{form.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    info = predictor.info
    report = export_detector(
        predictor.model,
        path,
        form,
        size=InputSize(args.size[0], args.size[1], args.batch, any_size=not args.fixed_size),
        images=images,
        info={"classes": info.classes, "short_edge": info.short_edge, "max_size": info.max_size},
    )
    _show(report, path, args.format)
    return 0


def _read(source: "Source") -> "ndarray":
    try:
        return source.read()
    except (ValueError, OSError) as error:
        raise ValueError(f"{source.name}: cannot be read: {error}") from error


def _test_images(cfg: Any) -> list[str]:
    """A few images of the config's test data.

    Raises:
        ValueError: the data are not there.
    """
    from detectron2.config import instantiate

    try:
        return [each["file_name"] for each in instantiate(cfg.dataloader.test.dataset)[:CHECKED]]
    except (FileNotFoundError, AttributeError, KeyError) as error:
        raise ValueError(
            "an export is checked on images, and the model's test data are not there; name some by --images"
        ) from error


def _show(report: "Report", path: Path, name: str) -> None:
    """Print what was written and how the check went."""
    from statistics import median

    from projects.diffu_base.api.export.checked import noise_file, told

    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
    if noise_file(path).is_file():
        print(f"{noise_file(path)}: the noise of the check")
    sizes = ", ".join(f"{height} x {width}" for height, width in dict.fromkeys(report.sizes))
    print(f"{len(report.sizes)} batches of {sizes}, {report.difference.detections // 2} detections")
    print(f"largest difference from PyTorch: {told(report.difference)}")
    ours, theirs = (1000 * median(each) for each in (report.seconds, report.seconds_pytorch))
    print(f"median time of a batch: {ours:.0f} ms by {name}, {theirs:.0f} ms by PyTorch")
