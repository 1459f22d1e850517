"""The page of the method names functions that exist."""

import re
from importlib import import_module
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "method.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(geogan[\w.]*): (\w+)`", PAGE)))


def test_the_page_names_functions():
    assert len(NAMED) > 15


@pytest.mark.parametrize(("module", "name"), NAMED)
def test_what_is_named_exists(module, name):
    assert hasattr(import_module(module), name)


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`(tests/\w+\.py)`", PAGE))))
def test_what_guards_exists(file):
    assert (Path(__file__).parents[1] / file).is_file()
