"""Installs the packages and their dependencies.

`pip install -e .` from a checkout is the supported way: config files and tools stay in the checkout and are used there.
"""

from setuptools import find_namespace_packages, find_packages, setup

# Two requirements are missing here on purpose; `make setup` installs both:
# - detectron2: PyPI has none under its name, and which build is right depends on the machine.
# - torch-ms-deform-attn, the compiled deformable attention, exists only as source that needs the installed torch and a
#   compiler (`pip install --no-build-isolation torch-ms-deform-attn`). Without it pure PyTorch takes its place.
REQUIREMENTS = [
    "torch>=2.5,<3",
    "torchvision>=0.20,<1",
    "timm>=1.0.22,<2",
    "numpy>=1.24,<3",
    "scipy>=1.10,<2",
    "pillow>=9.5",
    "pycocotools>=2.0.7,<3",
    "hotcoco>=1.3,<2",
    "tabulate>=0.8,<1",
    "fvcore>=0.1.5,<0.1.6",
    "omegaconf>=2.3,<2.4",
    "hydra-core>=1.3,<1.4",
    "cloudpickle>=2.2",
    "tensorboard>=2.13,<3",
    "tqdm>=4.65,<5",
]
EXTRAS = {
    # scikit-learn carries the handwritten digits and the photographs, matplotlib draws the curves.
    "demo": ["matplotlib>=3.7,<4", "contourpy>=1.0", "scikit-learn>=1.3,<2"],
    "wandb": ["wandb>=0.16"],
    "lvis": ["lvis>=0.5.3,<0.6"],
    "contrastive": ["pytorch-metric-learning>=2.3,<3"],
    # Needs `demo` beside it. ruff's formatting changes between minor versions.
    "test": [
        "pytest>=8.2,<10",
        "pytest-xdist>=3.5,<4",
        "ruff>=0.17,<0.18",
        "import-linter>=2.3,<3",
        # Types: what mypy reports changes between minor versions.
        "mypy>=2.4,<2.5",
        "scipy-stubs>=1.15,<2",
        "types-tabulate",
        "types-tqdm",
        "diffusers>=0.30,<1",
        "safetensors>=0.4",
        "lvis>=0.5.3,<0.6",
        "pytorch-metric-learning>=2.3,<3",
    ],
}

setup(
    name="diffu-detr",
    version="0.1.0",
    description="Detection and instance segmentation as denoising diffusion: DiffuDETR, DiffusionInst, baselines",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["layers_diffu_detr*", "datasets_utils*"])
    + find_namespace_packages(include=["projects", "projects.*"], exclude=["*.configs", "*.configs.*"]),
    install_requires=REQUIREMENTS,
    extras_require=EXTRAS,
)
