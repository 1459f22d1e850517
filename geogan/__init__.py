"""Fill the gaps in geophysical fields by learning from the gappy measurements alone.

Names are loaded when they are first used, so that ``import geogan`` is fast. It registers ``da.geogan`` and
``ds.geogan`` with xarray: at once if xarray is imported already, otherwise as soon as it is.

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
    from pathlib import Path

    from geogan.corruption import corrupt
    from geogan.evaluation import evaluate
    from geogan.fields.axes import find_axes
    from geogan.fields.synthetic import synthetic_sst
    from geogan.io import open_field
    from geogan.operators import (
        CloudMask,
        Compose,
        ConvolveNoise,
        Downsample,
        Drifters,
        Footprint,
        Noise,
        ObservedGaps,
        PatchBand,
        RadarSector,
        RemovePixel,
        RemovePixelChannel,
        SparseSampling,
        Stripes,
        Swath,
        Tracks,
    )
    from geogan.operators.errors import InputError
    from geogan.operators.parse import parse as parse_operator
    from geogan.plotting import MapStyle, plot_field, plot_reconstruction
    from geogan.presets import PRESETS
    from geogan.reconstructor import Reconstructor
    from geogan.settings import NetworkConfig, Objective, TrainConfig

    __version__: str

# Module and name of each public name; docs/api.md describes them.
_HOMES = {
    "CloudMask": ("operators", "CloudMask"),
    "Compose": ("operators", "Compose"),
    "ConvolveNoise": ("operators", "ConvolveNoise"),
    "Downsample": ("operators", "Downsample"),
    "Drifters": ("operators", "Drifters"),
    "Footprint": ("operators", "Footprint"),
    "InputError": ("operators.errors", "InputError"),
    "MapStyle": ("plotting", "MapStyle"),
    "NetworkConfig": ("settings", "NetworkConfig"),
    "Noise": ("operators", "Noise"),
    "Objective": ("settings", "Objective"),
    "ObservedGaps": ("operators", "ObservedGaps"),
    "PRESETS": ("presets", "PRESETS"),
    "PatchBand": ("operators", "PatchBand"),
    "RadarSector": ("operators", "RadarSector"),
    "Reconstructor": ("reconstructor", "Reconstructor"),
    "RemovePixel": ("operators", "RemovePixel"),
    "RemovePixelChannel": ("operators", "RemovePixelChannel"),
    "SparseSampling": ("operators", "SparseSampling"),
    "Stripes": ("operators", "Stripes"),
    "Swath": ("operators", "Swath"),
    "Tracks": ("operators", "Tracks"),
    "TrainConfig": ("settings", "TrainConfig"),
    "corrupt": ("corruption", "corrupt"),
    "evaluate": ("evaluation", "evaluate"),
    "find_axes": ("fields.axes", "find_axes"),
    "open_field": ("io", "open_field"),
    "parse_operator": ("operators.parse", "parse"),
    "plot_field": ("plotting", "plot_field"),
    "plot_reconstruction": ("plotting", "plot_reconstruction"),
    "synthetic_sst": ("fields.synthetic", "synthetic_sst"),
}
__all__ = [
    "PRESETS",
    "CloudMask",
    "Compose",
    "ConvolveNoise",
    "Downsample",
    "Drifters",
    "Footprint",
    "InputError",
    "MapStyle",
    "NetworkConfig",
    "Noise",
    "Objective",
    "ObservedGaps",
    "PatchBand",
    "RadarSector",
    "Reconstructor",
    "RemovePixel",
    "RemovePixelChannel",
    "SparseSampling",
    "Stripes",
    "Swath",
    "Tracks",
    "TrainConfig",
    "corrupt",
    "evaluate",
    "find_axes",
    "load",
    "open_field",
    "parse_operator",
    "plot_field",
    "plot_reconstruction",
    "synthetic_sst",
]


def load(path: "str | Path", *, device: str = "auto") -> "Reconstructor":
    """Return the model in the folder of a run; see `geogan.Reconstructor.load`."""
    from geogan.reconstructor import Reconstructor

    return Reconstructor.load(path, device=device)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("geogan")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(f"geogan.{module}"), attribute)
    globals()[name] = value  # the next access is direct
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


register_accessors()
