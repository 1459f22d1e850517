"""Colour scales of maps."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.captions import all_names, display_units, is_anomaly, is_image
from geogan.fields.quantities import proposed_transform
from geogan.operators.choices import suggestion
from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize

GAP, LAND, COAST = "#e6e6e6", "#b3a892", "#3c3a35"
# The sea around a field of the land; cells outside the domain that are not land by the coastlines.
WATER, OUTSIDE = "#d9e6ee", "#faf8f3"
# Observed cells in maps of the error, and cells that a fill left empty because the error would be too large.
OBSERVED, REFUSED = "#b8b8b8", "#d7a3c8"
# A grey gap would look like a value of a grey image.
GAP_OF_IMAGES = "#9db4cf"


class ColourScale(NamedTuple):
    """A colour map and the values at its ends, in the unit of the field.

    Attributes
    ----------
    colours : str or Colormap
    limits : (float, float)
    is_log : bool
        Whether equal steps of colour are equal ratios of values.
    """

    colours: "str | Colormap"
    limits: tuple[float, float]
    is_log: bool = False

    def norm(self) -> "Normalize":
        """Return Matplotlib's map from values to the range 0 to 1."""
        from matplotlib.colors import LogNorm, Normalize

        return (LogNorm if self.is_log else Normalize)(*self.limits)

    def drawable(self, values: np.ndarray) -> np.ndarray:
        """Return values without those that a logarithm cannot take: they become less than the lower limit."""
        if not self.is_log:
            return values
        return np.where(values <= 0, self.limits[0] / 2, values)


def colour_scale(
    fields: list[xr.DataArray],
    *,
    colours: "str | Colormap | None" = None,
    limits: tuple[float, float] | None = None,
    is_log: bool | None = None,
) -> ColourScale:
    """Return one colour scale for several fields; the names and attributes of the last field choose the colours.

    Parameters
    ----------
    fields : list of DataArray
    colours : str or Colormap, optional
        By default as :func:`colour_map`.
    limits : (float, float), optional
        By default as :func:`colour_limits`.
    is_log : bool, optional
        Whether colours are logarithmic; by default as :func:`has_log_colours`.

    Raises
    ------
    InputError
        If a logarithmic scale has limits, or fields, without positive values.
    """
    logarithmic = has_log_colours(fields) if is_log is None else is_log
    if logarithmic and limits is not None and limits[0] <= 0:
        if is_log:
            raise InputError(f"logarithmic colours need positive limits, got {limits[0]:g} to {limits[1]:g}")
        logarithmic = False
    ends = colour_limits(fields, is_log=logarithmic) if limits is None else limits
    return ColourScale(colour_map(fields[-1]) if colours is None else colours, ends, logarithmic)


def has_log_colours(fields: list[xr.DataArray]) -> bool:
    """Return whether a quantity is read on a logarithmic scale: concentrations and amounts that span decades."""
    values = _finite(fields)
    positive = values[values > 0]
    # Some fills of amounts are slightly negative.
    if positive.size < 2 or is_anomaly(fields[-1]) or (values < 0).mean() > 0.02:
        return False
    low, high = (float(value) for value in np.percentile(positive, [2, 98]))
    if "chlor" in all_names(fields[-1]):
        return high > 3 * low
    proposed = proposed_transform(fields[-1], low, high)
    return proposed is not None and proposed[0] == "log"


def named_colours(name: str) -> "Colormap":
    """Return the colour map of a name of Matplotlib or cmocean.

    Raises
    ------
    InputError
        If there is none.
    """
    import matplotlib

    maps = matplotlib.colormaps
    if name in maps:
        return maps[name]
    try:
        import cmocean
    except ImportError:
        names = list(maps)
    else:
        names = [*maps, *cmocean.cm.cmapnames]
        if name in cmocean.cm.cmapnames:
            return cmocean.cm.cmap_d[name]
    raise InputError(
        f"colormap must be a colour map of Matplotlib, such as viridis, got {name!r}; choose one of them"
        f"{suggestion(name, names)}"
    )


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


def colour_limits(fields: list[xr.DataArray], *, is_log: bool = False) -> tuple[float, float]:
    """Return the values at the ends of the colours.

    Images use -1 and 1. Other fields use the 2nd and 98th percentiles of the values of all fields, of their positive
    values for logarithmic colours; the limits of anomalies are symmetric around zero.
    """
    if is_image(fields[-1]):
        return (-1.0, 1.0)
    values = _finite(fields)
    if is_log:
        values = values[values > 0]
    if not values.size:
        return (0.1, 1.0) if is_log else (0.0, 1.0)
    return central_limits(values, is_symmetric=is_anomaly(fields[-1]), is_log=is_log)


def central_limits(values: np.ndarray, *, is_symmetric: bool = False, is_log: bool = False) -> tuple[float, float]:
    """Return the 2nd and 98th percentiles of finite values, as limits that increase."""
    low, high = (float(value) for value in np.percentile(values, [2, 98]))
    if is_symmetric:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    if low < high:
        return low, high
    return (low / 2, low * 2) if is_log else (low - 0.5, high + 0.5)


def _finite(fields: list[xr.DataArray]) -> np.ndarray:
    """Return the finite values of all fields."""
    values = np.concatenate([np.asarray(field.values, dtype="float64").ravel() for field in fields])
    return values[np.isfinite(values)]


def colour_extend(values: list[np.ndarray], limits: tuple[float, float]) -> str:
    """Return Matplotlib's ``extend`` of a colour bar: the ends beyond which there are values."""
    finite = [array[np.isfinite(array)] for array in values]
    below = any((array < limits[0]).any() for array in finite)
    above = any((array > limits[1]).any() for array in finite)
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]
