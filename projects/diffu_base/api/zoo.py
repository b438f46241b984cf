"""The model zoo: configs with published results, what they cost, and where their authors' checkpoints are."""

import ast
import re
from dataclasses import dataclass
from typing import NamedTuple

from projects.diffu_base.config.files import config_names, find_config

DIFFU_DETR_HUB = "https://huggingface.co/MBadran/DiffuDETR/tree/main/checkpoints"
DETREX = "https://github.com/IDEA-Research/detrex-storage/releases/download"
DIFFUSION_DET = "https://github.com/ShoufaChen/DiffusionDet/releases/download/v0.1"
DIFFUSION_INST = "https://pan.baidu.com/s/1KEdjNY3CSXWp0VFwkhRKYg (password jhbv)"
ALIGN_DETR = "https://drive.google.com/file/d/1zQYe78fDdCmK3nwbAWYLvGCdQCFsTqoX"

_AP = re.compile(r"([\d.]+)( mask)? AP in the paper")


class Weights(NamedTuple):
    """Where a checkpoint is.

    Attributes:
        address: of the file, or of the page that has it.
        file: the file's name; empty where the page shows it.
    """

    address: str
    file: str = ""

    @property
    def is_file(self) -> bool:
        """Whether `address` is that of the file itself, which can be fetched."""
        return bool(self.file) and self.address.endswith(self.file)


def _detrex(release: str, file: str) -> Weights:
    return Weights(f"{DETREX}/{release}/{file}", file)


# The checkpoints of the papers' authors and, for the baselines, of detrex.
WEIGHTS = {
    **{
        f"diffu_dino/{name}": Weights(DIFFU_DETR_HUB)
        for name in (
            "dino-resnet/coco-r50-4scales-50ep",
            "dino-resnet/coco-r101-4scales-12ep",
            "dino-resnet/lvis-r50-4scales-12ep",
            "dino-resnet/lvis-r101-4scales-12ep",
            "dino-resnet/v3det-r50-4scales-24ep",
            "dino-swin/v3det-swin-4scales-24ep",
        )
    },
    "diffu_align_detr/coco-r50-4scales-24ep": Weights(DIFFU_DETR_HUB),
    "diffu_align_detr/coco-r101-4scales-12ep": Weights(DIFFU_DETR_HUB),
    "diffu_dino/dino-resnet/baseline-dino-r50-4scales-12ep": _detrex("v0.2.0", "dino_r50_4scale_12ep_49_2AP.pth"),
    "diffu_dino/dino-resnet/baseline-dino-r101-4scales-12ep": _detrex("v0.1.1", "dino_r101_4scale_12ep.pth"),
    "diffu_detr/baseline-deformable-detr-r50-4scales-50ep": _detrex(
        "v0.1.0", "converted_deformable_detr_two_stage_50ep.pth"
    ),
    "diffu_align_detr/baseline-aligndetr-r50-4scales-24ep": Weights(ALIGN_DETR),
    "diffusion_inst/coco-r50-5x": Weights(DIFFUSION_INST),
    "diffusion_inst/coco-r101-5x": Weights(DIFFUSION_INST),
    "diffusion_inst/diffusiondet-coco-r50-5x": Weights(
        f"{DIFFUSION_DET}/diffdet_coco_res50.pth", "diffdet_coco_res50.pth"
    ),
}
# Of one image of 800 x 1333 pixels, by tools/analyze_model.py: DETR's diffusion models with 3 evaluations, all others
# with 1. A multiply-add counts once.
GFLOPS: dict[str, float] = {
    "diffu_align_detr/baseline-aligndetr-r101-4scales-12ep": 368,
    "diffu_align_detr/baseline-aligndetr-r50-4scales-24ep": 289,
    "diffu_align_detr/coco-r101-4scales-12ep": 393,
    "diffu_align_detr/coco-r50-4scales-24ep": 313,
    "diffu_detr/baseline-deformable-detr-r50-4scales-50ep": 208,
    "diffu_detr/coco-r50-4scales-50ep": 212,
    "diffu_dino/dino-resnet/baseline-dino-lvis-r101-4scales-12ep": 375,
    "diffu_dino/dino-resnet/baseline-dino-lvis-r50-4scales-12ep": 295,
    "diffu_dino/dino-resnet/baseline-dino-r101-4scales-12ep": 368,
    "diffu_dino/dino-resnet/baseline-dino-r50-4scales-12ep": 289,
    "diffu_dino/dino-resnet/baseline-dino-r50-4scales-36ep": 289,
    "diffu_dino/dino-resnet/baseline-dino-v3det-r50-4scales-24ep": 366,
    "diffu_dino/dino-resnet/coco-r101-4scales-12ep": 393,
    "diffu_dino/dino-resnet/coco-r50-4scales-50ep": 313,
    "diffu_dino/dino-resnet/lvis-r101-4scales-12ep": 400,
    "diffu_dino/dino-resnet/lvis-r50-4scales-12ep": 320,
}


@dataclass(frozen=True)
class Entry:
    """A model of the zoo.

    Attributes:
        name: the config's name.
        summary: what the config says of itself, without the figure.
        published: the AP in the paper; None if the papers have none.
        is_mask_ap: whether `published` is the AP of masks.
        gflops: see `GFLOPS`; None if they were not counted.
        weights: where a checkpoint is; None if there is none.
    """

    name: str
    summary: str
    published: float | None
    is_mask_ap: bool
    gflops: float | None
    weights: Weights | None


def zoo() -> list[Entry]:
    """The configs that have a published AP or a checkpoint, in the order of their names. Ablations are left out."""
    entries = []
    for name in config_names():
        if "/ablations/" in name or name.startswith("common/"):
            continue
        docstring = ast.get_docstring(ast.parse(find_config(name).read_text(encoding="utf-8"))) or ""
        figure = _AP.search(docstring)
        if figure is None and name not in WEIGHTS:
            continue
        summary = docstring.partition("\n")[0].partition(". ")[0].removesuffix(".")
        published, of_masks = (float(figure[1]), bool(figure[2])) if figure else (None, False)
        entries.append(Entry(name, summary, published, of_masks, GFLOPS.get(name), WEIGHTS.get(name)))
    return entries


def how_to_get(name: str) -> str:
    """A sentence that says how to get weights for the config `name`."""
    weights = WEIGHTS.get(name)
    if weights is None:
        return f"the config {name!r} has no published weights; name some: from_pretrained({name!r}, checkpoint=FILE)"
    return (
        f"the weights of {name!r} are at {weights.address}; download {weights.file or 'its .pth file'} and call "
        f"from_pretrained({name!r}, checkpoint=FILE), or run: diffudetr pack {name} FILE --output FOLDER"
    )
