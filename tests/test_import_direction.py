"""Who may import whom: torch -> ldm -> layers_diffu_detr -> projects/diffu_detr -> diffu_dino -> diffu_align_detr,
and diffu_detr -> diffusion_inst, whose masks diffu_dino takes."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("layers_diffu_detr", "projects", "datasets_utils", "configs", "tools", "tests")
FILES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))

# What the modules under a prefix may import of this project, besides their own package; the longest prefix decides.
ALLOWED = {
    "layers_diffu_detr": (),
    "layers_diffu_detr.ldm": ("layers_diffu_detr.ldm",),  # not the rest of layers_diffu_detr
    "projects.diffu_detr.modeling": ("layers_diffu_detr",),
    "projects.diffu_dino.modeling": (
        "layers_diffu_detr", "projects.diffu_detr.modeling",
        "projects.diffusion_inst.modeling.losses", "projects.diffusion_inst.modeling.masks",
    ),
    "projects.diffu_align_detr.modeling": (
        "layers_diffu_detr", "projects.diffu_detr.modeling", "projects.diffu_dino.modeling"
    ),
    "projects.diffusion_inst.modeling": ("layers_diffu_detr", "projects.diffu_detr.modeling"),
    "datasets_utils": (),
    "configs": ("layers_diffu_detr", "projects.diffu_detr.modeling", "datasets_utils"),
    "projects.diffu_detr.configs": ("layers_diffu_detr", "projects.diffu_detr.modeling", "configs", "datasets_utils"),
    "projects.diffu_dino.configs": (
        "layers_diffu_detr", "projects.diffu_detr.modeling", "projects.diffu_dino.modeling",
        "projects.diffusion_inst.modeling.losses", "projects.diffu_detr.configs", "configs", "datasets_utils",
    ),
    "projects.diffu_align_detr.configs": (
        "layers_diffu_detr", "projects.diffu_detr.modeling", "projects.diffu_align_detr.modeling",
        "projects.diffu_dino.configs", "configs", "datasets_utils",
    ),
    "projects.diffusion_inst.configs": (
        "layers_diffu_detr", "projects.diffu_detr.modeling", "projects.diffusion_inst.modeling", "configs",
        "datasets_utils",
    ),
    "tools": ROOMS[:-1],
    "tests": ROOMS,
}  # fmt: skip


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Absolute names of the modules that a file imports, also inside functions; of `from a import b` both a and a.b."""
    package = list(path.parent.parts)
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def own_imports(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] in ROOMS}


def offences(files: list[Path], *forbidden: str) -> list[str]:
    return [
        f"{path} imports {name}"
        for path in files
        for name in imports(path)
        if any(within(name, prefix) for prefix in forbidden)
    ]


def files_in(*prefixes: str) -> list[Path]:
    found = [path for path in FILES if any(within(module_name(path), prefix) for prefix in prefixes)]
    assert found, f"no files in {prefixes}"
    return found


def rule(path: Path) -> str | None:
    """The longest prefix of ALLOWED that the file is in."""
    return max((p for p in ALLOWED if within(module_name(path), p)), key=len, default=None)


def test_relative_and_nested_imports_are_seen():
    names = set(imports(Path("projects/diffu_detr/modeling/criterion.py")))
    assert {"layers_diffu_detr.targets", "projects.diffu_detr.modeling.matcher"} <= names
    assert "torch_ms_deform_attn" in set(imports(Path("layers_diffu_detr/multi_scale_deform_attn.py")))  # in a function


@pytest.mark.parametrize("prefix", ALLOWED)
def test_each_package_imports_only_what_lies_below_it(prefix):
    allowed = (prefix, *ALLOWED[prefix])
    wrong = [
        f"{path} imports {name}"
        for path in files_in(prefix)
        if rule(path) == prefix
        for name in own_imports(path)
        # `from layers_diffu_detr import ldm` names the package on the way to the module.
        if not any(within(name, p) or within(p, name) for p in allowed)
    ]
    assert not wrong


def test_every_file_is_under_a_rule():
    packages = {f"projects.{path.name}" for path in (ROOT / "projects").iterdir()}
    assert not [path for path in FILES if rule(path) is None and module_name(path) not in packages]


def test_layers_know_no_detection_library():
    assert not offences(files_in("layers_diffu_detr"), "detectron2", "detrex", "omegaconf", "timm")


def test_modeling_imports_no_config_and_no_data():
    modeling = [path for path in FILES if "modeling" in path.parts]
    assert modeling and not [
        f"{path} imports {name}" for path in modeling for name in own_imports(path)
        if "configs" in name.split(".") or within(name, "datasets_utils")
    ]  # fmt: skip


def test_the_diffusion_and_its_sampler_know_no_network():
    networks = ("layers_diffu_detr.transformer", "layers_diffu_detr.attention", "layers_diffu_detr.bbox_embedd")
    ldm = files_in("layers_diffu_detr.ldm")
    assert not offences(ldm, *networks, "layers_diffu_detr.postprocess", "projects", "torchvision")


def test_matcher_losses_and_criteria_know_no_diffusion():
    names = ("criterion.py", "matcher.py", "losses.py")
    files = [path for path in FILES if path.parts[0] == "projects" and path.name in names]
    assert len(files) >= 4
    assert not offences(files, "layers_diffu_detr.ldm", "layers_diffu_detr.denoising")


def test_nothing_imports_tools_or_tests_but_they_themselves():
    assert not offences([path for path in FILES if path.parts[0] not in ("tools", "tests")], "tools", "tests")
    assert not offences(files_in("tools"), "tests")


def test_configs_import_other_config_files_relatively():
    """LazyConfig then finds them from any directory and without the repository on the path."""
    configs = [path for path in FILES if "configs" in path.parts[:-1] and path.parts[0] != "tests"]
    absolute = [
        f"{path} imports {node.module}"
        for path in configs
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.ImportFrom) and not node.level and "configs" in (node.module or "").split(".")
    ]
    assert configs and not absolute
