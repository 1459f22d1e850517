"""Wheel and sdist hold all files, and nothing is installed beside the package."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("geogan", "operators", "pipelines", "examples", "pyproject.toml", "README.md", "LICENSE")
# Folders that are linked into the package.
LINKED = {"operators": "operators", "pipelines": "pipelines", "examples/paper": "paper"}

CODE = """
import geogan, geogan.cli
import geogan.model.networks, geogan.plotting, geogan.evaluation.baselines.biharmonic, geogan.pipelines.fill
import geogan.paper
from geogan.operators.cloud import CloudMask
from geogan.fields.coastlines import coastlines
assert len(coastlines("110m")) > 50
print(geogan.__file__)
"""


def built(kind: str, source: Path, out: Path) -> Path:
    """Build ``source`` with the installed tools; nothing is downloaded."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel from an sdist of a copy of the tree."""
    folder = tmp_path_factory.mktemp("packaging")
    tree = folder / "tree"
    tree.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(
                ROOT / part, tree / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy(ROOT / part, tree / part)
    sdist = built("sdist", tree, folder / "sdist")
    shutil.unpack_archive(sdist, folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return built("wheel", unpacked, folder / "wheel")


def test_the_wheel_holds_every_module_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"geogan"}
    expected = {
        f"geogan/{room}/{path.relative_to(ROOT / folder)}"
        for folder, room in LINKED.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    expected |= {
        str(path.relative_to(ROOT))
        for path in (ROOT / "geogan").rglob("*.py")
        if path.relative_to(ROOT / "geogan").parts[0] not in LINKED.values()
    }
    assert {name for name in names if name.endswith(".py")} == expected
    assert {
        "geogan/py.typed",
        *(f"geogan/fields/{name}" for name in ("land-50m.json", "land-110m.json", "COASTLINES.md")),
    } <= names


def test_the_wheel_works_from_elsewhere(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n{CODE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "site")
