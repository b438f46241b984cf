"""The names of the configs for own data."""

OWN_DATA = [
    "diffu_detr/custom-r50-4scales",
    "diffu_detr/baseline-deformable-detr-custom-r50-4scales",
    "diffu_dino/custom-r50-4scales",
    "diffu_dino/custom-inst-r50-4scales",
    "diffu_dino/baseline-dino-custom-r50-4scales",
    "diffu_align_detr/custom-r50-4scales",
    "diffu_align_detr/baseline-aligndetr-custom-r50-4scales",
    "diffusion_inst/custom-r50",
    "diffusion_inst/diffusiondet-custom-r50",
]
LIGHT = [
    "diffu_dino/custom-lite0-3scales",
    "diffu_dino/custom-inst-lite0-3scales",
    "diffu_dino/baseline-dino-custom-lite0-3scales",
    "diffusion_inst/custom-lite0",
]
