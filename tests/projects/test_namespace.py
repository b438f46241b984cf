"""`projects` belongs to no one repository: detrex's and others' lie beside ours under the same name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("ours_first", [True, False])
def test_projects_of_two_repositories_import_side_by_side(ours_first: bool, tmp_path: Path):
    (tmp_path / "projects" / "dino").mkdir(parents=True)
    (tmp_path / "projects" / "dino" / "__init__.py").touch()
    path = [str(ROOT), str(tmp_path)] if ours_first else [str(tmp_path), str(ROOT)]
    code = "import projects.dino, projects.diffu_dino as ours; print(projects.dino.__file__, ours.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    expected = [root / "projects" / name / "__init__.py" for root, name in ((tmp_path, "dino"), (ROOT, "diffu_dino"))]
    assert done.stdout.split() == [str(path) for path in expected], done.stderr
