"""`import geogan` is fast, and every public name is found and documented."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import geogan


def test_the_page_of_the_api_lists_every_public_name():
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    assert sorted(listed) == sorted(geogan.__all__), "docs/api.md and geogan.__all__ differ; add or remove the line"


def test_every_name_is_found():
    for name in geogan.__all__:
        assert getattr(geogan, name) is getattr(geogan, name)
    assert set(geogan.__all__) <= set(dir(geogan))
    assert geogan.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        geogan.nothing  # noqa: B018


@pytest.mark.parametrize("module", ["geogan", "geogan.cli", "geogan.operators.errors"])
def test_nothing_heavy_is_imported(module):
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "xarray", "numpy", "dask", "zarr", "matplotlib"} & set(loaded)
