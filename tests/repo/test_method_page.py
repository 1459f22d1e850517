"""The pages of the method and of the input name functions and tests that exist."""

import ast
import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(geogan[\w.]*): ([\w.]+)`", PAGE)))
INPUT = (ROOT / "docs" / "input.md").read_text(encoding="utf-8")
GUARDS = sorted(set(re.findall(r"`(tests/[\w/]+\.py): (\w+)`", PAGE + INPUT)))


def test_the_page_names_functions_and_tests():
    assert len(NAMED) > 15 and len(GUARDS) > 10
    # A name broken over two lines would be looked up by nobody.
    assert not re.findall(r"`(?:geogan|tests)[\w./]*:\s*\n", PAGE + INPUT)


def test_every_kind_of_input_names_its_test():
    rows = [line for line in INPUT.splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    assert len(rows) > 40 and all(re.search(r"`tests/[\w/]+\.py: \w+` \|$", row) for row in rows)


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_what_is_named_exists(module, name):
    assert callable(found := reduce(getattr, name.split("."), import_module(module))) or isinstance(found, dict)


@pytest.mark.parametrize(("file", "name"), GUARDS)
def test_what_guards_exists(file, name):
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`?((?:tests|benchmarks)/[\w/]+\.py)", PAGE))))
def test_files_exist(file):
    assert (ROOT / file).is_file()
