"""`import geogan` costs nothing, and every public name is there when asked for."""

import subprocess
import sys

import pytest

import geogan


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
