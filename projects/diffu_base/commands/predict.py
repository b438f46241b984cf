"""`diffudetr predict`: detects in image files and writes tables and pictures."""

import argparse
import time

DESCRIPTION = """Detect in images, print what is found, and write it to a folder: detections.json in the format of
COCO's results, detections.csv, and a picture of each image.

IMAGES are files, folders, globs and http(s) addresses. MODEL is a model folder, the output folder of a training, or a
checkpoint file that lies beside its config.yaml.

examples:
  diffudetr predict photo.jpg --model output/mine --output found
  diffudetr predict photos/ 'more/**/*.png' --model models/mine --output found --steps 5 --boxes 600 --threshold 0.4"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="files, folders, globs, addresses")
    parser.add_argument("--model", required=True, metavar="MODEL", help="a folder or a checkpoint")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the results are written")
    parser.add_argument("--steps", type=int, metavar="N", help="passes of the network; default: the model's")
    parser.add_argument("--boxes", type=int, metavar="N", help="boxes that are denoised; default: the model's")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="S",
        help="leave out detections below this score; default: the model's, or 0.3",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the noise, default 0")
    parser.add_argument(
        "--draws", type=int, default=1, metavar="N", help="draws of noise; more than one measure how well they agree"
    )
    parser.add_argument("--tiles", type=int, metavar="N", help="cut big pictures into squares of N pixels")
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="images at a time, default 4")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:0, ...; default auto")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16; default float32")
    parser.add_argument("--no-pictures", action="store_true", help="write no pictures")


def run(args: argparse.Namespace) -> int:
    """Detect, write and print; returns the exit status."""
    from projects.diffu_base.api.pretrained import from_pretrained
    from projects.diffu_base.api.results import ImageResult
    from projects.diffu_base.api.write import ResultWriter

    predictor = from_pretrained(args.model, device=args.device, dtype=args.dtype)
    settings = {
        name: getattr(args, name) for name in ("steps", "boxes", "threshold", "seed", "draws", "batch", "tiles")
    }
    start = time.perf_counter()
    writer = ResultWriter(args.output, pictures=not args.no_pictures)
    for result in predictor.stream(args.images, **settings):
        writer.add(result)
        if isinstance(result, ImageResult):  # the predictor has logged what cannot be read
            print(result)
    results = writer.finish()
    seconds = time.perf_counter() - start
    found = sum(map(len, results))
    print(f"{len(results)} images, {found} detections, {seconds:.1f} s; written: {args.output}")
    return 0
