"""`diffudetr pack`: makes a model folder of a config and a checkpoint."""

import argparse

DESCRIPTION = """Make a model folder of a config and a checkpoint: the weights that evaluation takes, the config and
the names of the classes, so that prediction needs neither the training data nor the run.

examples, a training of one's own and a published checkpoint:
  diffudetr pack output/mine/config.yaml output/mine/model_final.pth --output models/mine
  diffudetr pack diffu_dino/dino-resnet/coco-r50-4scales-50ep checkpoint.pth --output models/diffu_dino"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("config", metavar="CONFIG", help="a config's name or file")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="the file of the weights")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the model folder is written")
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help="names the classes: an annotation file, or a text with a name in each line; by default the config's data",
    )
    parser.add_argument("opts", nargs="*", default=(), metavar="key=value", help="settings that replace the config's")


def run(args: argparse.Namespace) -> int:
    """Write the folder and say what it holds; returns the exit status."""
    from projects.diffu_base.api.pack import pack

    info = pack(args.config, args.checkpoint, args.output, overrides=args.opts, class_file=args.classes)
    names = ", ".join(info.classes[:8]) + (", ..." if len(info.classes) > 8 else "")
    print(f"wrote {args.output}: {info.weights} weights, {len(info.classes)} classes ({names})")
    return 0
