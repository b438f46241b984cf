"""`diffudetr view`: writes a page that shows how a model denoises boxes in an image."""

import argparse
from pathlib import Path

DESCRIPTION = """Write a page for each image that shows how the model's boxes go from noise to objects: a slider over
the passes, the boxes that go in and come out with their scores, which of them are drawn anew, several draws of noise,
and masks.

IMAGES are files, folders and globs. If MODEL is the output folder of a training, the id of an image that it was
evaluated with will do too.

examples:
  diffudetr view photo.jpg --model output/mine --output pages
  diffudetr view 61 --model output/digits --output pages --steps 5 --seeds 0 1 2 3"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="files, folders, globs, or ids of images")
    parser.add_argument("--model", required=True, metavar="MODEL", help="a folder or a checkpoint, as for predict")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the pages are written")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="of the noise, default 0 1 2"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="passes of the network; default: the model's")
    parser.add_argument("--boxes", type=int, metavar="N", help="boxes that are denoised; default: the model's")
    parser.add_argument("--threshold", type=float, metavar="S", help="detections count from this score on")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:0, ...; default auto")


def run(args: argparse.Namespace) -> int:
    """Write the pages and print their paths; returns the exit status."""
    from projects.diffu_base.api.inputs import sources_of
    from projects.diffu_base.api.pages import write
    from projects.diffu_base.api.pretrained import from_pretrained
    from projects.diffu_base.api.settings import Settings
    from projects.diffu_base.api.viewer import view_page

    predictor = from_pretrained(args.model, device=args.device)
    settings = Settings(steps=args.steps, boxes=args.boxes, threshold=args.threshold)
    for word in args.images:
        image_id = int(word) if word.isdigit() and not Path(word).exists() else None
        path = word if image_id is None else image_of_run(args.model, image_id)
        for source in sources_of(path):
            page = view_page(
                predictor, source.read(), Path(source.name).name, seeds=args.seeds, settings=settings, image_id=image_id
            )
            print(write(page, Path(args.output) / f"{Path(source.name).stem}.html"))
    return 0


def image_of_run(model: str, image_id: int) -> str:
    """The path of an image that the run in the folder `model` was evaluated with.

    Raises:
        ValueError: the folder keeps no evaluation, or that had no such image.
    """
    from datasets_utils.coco_file import image_name, read_coco_file
    from datasets_utils.evaluation.saved import SavedDetections
    from projects.diffu_base.api.report import DETECTIONS

    file = Path(model) / DETECTIONS
    if not file.is_file():
        raise ValueError(f"image id {image_id}: {model!r} holds no {DETECTIONS} of an evaluation; name an image file")
    scored = SavedDetections.load(file).scored
    for image in read_coco_file(scored.json_file)["images"]:
        if image["id"] == image_id:
            return str(Path(scored.image_root) / image_name(image))
    raise ValueError(f"image id {image_id} is not in {scored.json_file}")
