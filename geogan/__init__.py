"""Fill the gaps in geophysical fields by learning from the gappy measurements alone.

Names are loaded when they are first used, so that ``import geogan`` costs nothing. It registers ``da.geogan`` and
``ds.geogan`` with xarray: at once where xarray is imported already, else as soon as xarray is.

Examples
--------
>>> import geogan
>>> truth = geogan.synthetic_sst(days=2, size=24)["sst"]
>>> gappy = truth.geogan.corrupt("cloud_mask:coverage=0.4", seed=1)
>>> bool(gappy.isnull().sum() > truth.isnull().sum())
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geogan.registration import register_accessors

if TYPE_CHECKING:
    from geogan.corruption import corrupt
    from geogan.fields.axes import find_axes
    from geogan.fields.synthetic import synthetic_sst
    from geogan.io import open_field
    from geogan.operators.errors import InputError
    from geogan.operators.parse import parse as parse_operator
    from geogan.plotting import plot_field, plot_reconstruction
    from geogan.reconstructor import Reconstructor

    __version__: str

__all__ = [
    "InputError",
    "Reconstructor",
    "corrupt",
    "find_axes",
    "open_field",
    "parse_operator",
    "plot_field",
    "plot_reconstruction",
    "synthetic_sst",
]

_HOMES = {
    "InputError": ("operators.errors", "InputError"),
    "Reconstructor": ("reconstructor", "Reconstructor"),
    "corrupt": ("corruption", "corrupt"),
    "find_axes": ("fields.axes", "find_axes"),
    "open_field": ("io", "open_field"),
    "parse_operator": ("operators.parse", "parse"),
    "plot_field": ("plotting", "plot_field"),
    "plot_reconstruction": ("plotting", "plot_reconstruction"),
    "synthetic_sst": ("fields.synthetic", "synthetic_sst"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("geogan")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, own = _HOMES[name]
    value = getattr(import_module(f"geogan.{home}"), own)
    globals()[name] = value  # found at once the next time
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


register_accessors()
