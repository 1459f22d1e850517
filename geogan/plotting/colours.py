"""Colour scales of maps."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from geogan.plotting.captions import all_names, display_units, is_anomaly, is_image

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

GAP, LAND, COAST = "#e6e6e6", "#b3a892", "#3c3a35"
# A grey gap would look like a value of a grey image.
GAP_OF_IMAGES = "#9db4cf"


class ColourScale(NamedTuple):
    """A colour map and the values at its ends, in the unit of the field."""

    colours: "str | Colormap"
    limits: tuple[float, float]


def colour_scale(fields: list[xr.DataArray]) -> ColourScale:
    """Return one colour scale for several fields; the names and attributes of the last field choose the colours."""
    return ColourScale(colour_map(fields[-1]), colour_limits(fields))


def colour_map(field: xr.DataArray) -> "str | Colormap":
    """Choose a colour map: thermal for temperatures, diverging for anomalies, grey for images, else viridis."""
    if is_image(field):
        return "gray"
    if is_anomaly(field):
        return diverging_map()
    if "temperature" in all_names(field) or display_units(field) in ("°C", "K"):
        try:
            import cmocean
        except ImportError:
            return "inferno"
        return cmocean.cm.thermal
    return "viridis"


def diverging_map() -> "str | Colormap":
    """Return a diverging colour map with a neutral colour at zero."""
    try:
        import cmocean
    except ImportError:
        return "RdBu_r"
    return cmocean.cm.balance


def colour_limits(fields: list[xr.DataArray]) -> tuple[float, float]:
    """Return the values at the ends of the colours.

    Images use -1 and 1. Other fields use the 2nd and 98th percentiles of the values of all fields; the limits of
    anomalies are symmetric around zero.
    """
    if is_image(fields[-1]):
        return (-1.0, 1.0)
    values = np.concatenate([np.asarray(field.values, dtype="float64").ravel() for field in fields])
    values = values[np.isfinite(values)]
    if not values.size:
        return (0.0, 1.0)
    low, high = (float(value) for value in np.percentile(values, [2, 98]))
    if is_anomaly(fields[-1]):
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def colour_extend(values: list[np.ndarray], limits: tuple[float, float]) -> str:
    """Return Matplotlib's ``extend`` of a colour bar: the ends beyond which there are values."""
    finite = [array[np.isfinite(array)] for array in values]
    below = any((array < limits[0]).any() for array in finite)
    above = any((array > limits[1]).any() for array in finite)
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]
