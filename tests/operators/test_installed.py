"""Operators of other packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_operator"
ROOT = Path(__file__).parents[2]


def python(code, *folders):
    """Run a program in a process whose packages are also those of some folders."""
    path = os.pathsep.join(map(str, (*folders, ROOT)))
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=240
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return a folder in which the example package is installed."""
    folder = tmp_path_factory.mktemp("site")
    source = folder / "source"
    for file in ("pyproject.toml", "README.md", "glint_operator/__init__.py"):
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).write_bytes((EXAMPLE / file).read_bytes())
    command = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    subprocess.run([sys.executable, *command, folder / "site", source], check=True, capture_output=True, timeout=240)
    return folder / "site"


def broken(folder, **entries):
    """Write a package whose entry points cannot be used."""
    info = folder / "mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {target}" for name, target in entries.items())
    (info / "entry_points.txt").write_text(f"[geogan.operators]\n{lines}\n")
    (folder / "mine.py").write_text("class Plain:\n    pass\n")
    return folder


def test_the_example_is_found_checked_and_used(installed):
    code = """
import warnings; warnings.simplefilter("error")
import torch, numpy as np, geogan
from geogan.operators.parse import describe, from_dict, parse, to_dict
from geogan.testing import check_operator
glint = parse("glint:width=0.3")
check_operator(glint)
assert describe(glint) == "glint:width=0.3" and from_dict(to_dict(glint)) == glint
sea = geogan.synthetic_sst(days=3, size=24, seed=0)
gappy = geogan.corrupt(sea.sst, "glint:width=0.25", seed=1)
hidden = gappy.isnull() & sea.sst.notnull()
assert 0.1 < float(hidden.sum() / sea.sst.notnull().sum()) < 0.4
"""
    done = python(code, installed)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_cannot_be_used_is_named_and_left_out(tmp_path):
    folder = broken(tmp_path, absent="nowhere:Gone", plain="mine:Plain", cloud_mask="mine:Plain")
    code = """
import warnings
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    from geogan.operators.parse import parse
    assert type(parse("cloud_mask")).__module__ == "geogan.operators.cloud"
said = [str(one.message) for one in said if "left out" in str(one.message)]
assert len(said) == 3 and all("package mine" in one for one in said), said
for name, reason in (("absent", "ModuleNotFoundError"), ("plain", "not a dataclass"), ("cloud_mask", "taken")):
    assert any(repr(name) in one and reason in one for one in said), said
"""
    done = python(code, folder)
    assert done.returncode == 0, done.stderr[-2000:]
