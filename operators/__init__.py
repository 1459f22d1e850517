"""Measurement operators: how a field becomes a gappy, noisy or blurred measurement.

Names are loaded when first used, so that code that only catches `InputError` does not import torch. Import `parse`
from the module of the same name.

Examples
--------
>>> from geogan.operators import CloudMask
>>> from geogan.operators.parse import parse
>>> parse("cloud_mask:scale=8") == CloudMask(scale=8)
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from geogan.operators.band import PatchBand
    from geogan.operators.cloud import CloudMask
    from geogan.operators.compose import Compose
    from geogan.operators.convolve import ConvolveNoise
    from geogan.operators.downsample import Downsample
    from geogan.operators.drifters import Drifters
    from geogan.operators.footprint import Footprint
    from geogan.operators.noise import Noise
    from geogan.operators.observed import ObservedGaps
    from geogan.operators.operator import Observation, Operator, Theta
    from geogan.operators.parse import OPERATORS, describe, from_dict, to_dict
    from geogan.operators.pixels import RemovePixel, RemovePixelChannel
    from geogan.operators.radar import RadarSector
    from geogan.operators.sampling import SparseSampling
    from geogan.operators.stripes import Stripes
    from geogan.operators.swath import Swath
    from geogan.operators.tracks import Tracks

__all__ = [
    "OPERATORS",
    "CloudMask",
    "Compose",
    "ConvolveNoise",
    "Downsample",
    "Drifters",
    "Footprint",
    "InputError",
    "Noise",
    "Observation",
    "ObservedGaps",
    "Operator",
    "PatchBand",
    "RadarSector",
    "RemovePixel",
    "RemovePixelChannel",
    "SparseSampling",
    "Stripes",
    "Swath",
    "Theta",
    "Tracks",
    "describe",
    "from_dict",
    "to_dict",
]

_MODULES = {
    "OPERATORS": "parse",
    "CloudMask": "cloud",
    "Compose": "compose",
    "ConvolveNoise": "convolve",
    "Downsample": "downsample",
    "Drifters": "drifters",
    "Footprint": "footprint",
    "Noise": "noise",
    "Observation": "operator",
    "ObservedGaps": "observed",
    "Operator": "operator",
    "PatchBand": "band",
    "RadarSector": "radar",
    "RemovePixel": "pixels",
    "RemovePixelChannel": "pixels",
    "SparseSampling": "sampling",
    "Stripes": "stripes",
    "Swath": "swath",
    "Theta": "operator",
    "Tracks": "tracks",
    "describe": "parse",
    "from_dict": "parse",
    "to_dict": "parse",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"geogan.operators.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
