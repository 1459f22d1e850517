"""Tests of the registration of the accessors: it follows the import of xarray and imports nothing heavy."""

import subprocess
import sys

import pytest

ACCESSORS = "print(hasattr(xr.DataArray, 'geogan') and hasattr(xr.Dataset, 'geogan'))"


def printed(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import geogan, xarray as xr",
        "import geogan; import xarray as xr",
        "import xarray as xr; import geogan",
        "from geogan import find_axes; import xarray as xr",
        "import geogan.operators.errors; from xarray import DataArray; import xarray as xr",
        "from geogan import cli; import xarray as xr",
        "import geogan, threading\nfor t in [threading.Thread(target=__import__, args=('xarray',)) for _ in range(4)]: "
        "t.start()\nimport xarray as xr",
    ],
)
def test_accessors_are_registered_in_any_order_of_imports(code):
    assert printed(f"{code}\n{ACCESSORS}") == "True\n"


def test_importing_geogan_imports_nothing_heavy():
    heavy = "print(sorted({'xarray', 'numpy', 'torch', 'dask', 'pandas'} & set(sys.modules)))"
    assert printed(f"import sys, geogan; {heavy}") == "[]\n"
    assert printed(f"import sys, geogan.cli; {heavy}") == "[]\n"
    assert printed("import sys, xarray, geogan; print('torch' in sys.modules)") == "False\n"


def test_the_module_xarray_is_not_changed():
    code = "import sys; {} import xarray; print(xarray.__spec__.loader.__class__, xarray.__loader__.__class__, "
    code += "xarray.__file__, xarray.__spec__.origin, len(sys.meta_path)); import importlib; importlib.reload(xarray); "
    code += "import importlib.resources as r; print(len(list(r.files('xarray').iterdir())))"
    assert printed(code.format("import geogan;")) == printed(code.format(""))


def test_a_failed_import_of_xarray_can_be_repeated(tmp_path):
    (tmp_path / "xarray.py").write_text("raise ImportError('not now')")
    code = f"""
import sys, geogan
sys.path.insert(0, {str(tmp_path)!r})
try:
    import xarray
except ImportError as error:
    print(error)
sys.path.pop(0)
sys.path_importer_cache.clear()
import xarray as xr
{ACCESSORS}
"""
    assert printed(code) == "not now\nTrue\n"


def test_a_missing_xarray_raises_the_usual_error():
    code = "import sys, geogan; sys.path[:] = []; sys.path_importer_cache.clear()\n"
    code += "try:\n    import xarray\nexcept ModuleNotFoundError as error:\n    print(error)"
    assert printed(code) == "No module named 'xarray'\n"
