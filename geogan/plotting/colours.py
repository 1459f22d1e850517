"""Colours of a map, and the values that they stand for."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from geogan.plotting.captions import is_anomaly, is_image, units_of, words_of

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

GAP, LAND, COAST = "#e6e6e6", "#b3a892", "#3c3a35"
GAP_OF_IMAGES = "#9db4cf"  # in grey images grey would be a value


def colour_map(field: xr.DataArray) -> "str | Colormap":
    """Thermal colours for temperatures, a diverging map for anomalies, grey for images, viridis otherwise."""
    if is_image(field):
        return "gray"
    if is_anomaly(field):
        return diverging_map()
    if "temperature" in words_of(field) or units_of(field) in ("°C", "K"):
        try:
            import cmocean
        except ImportError:
            return "inferno"
        return cmocean.cm.thermal
    return "viridis"


def diverging_map() -> "str | Colormap":
    """Colours around a neutral zero."""
    try:
        import cmocean
    except ImportError:
        return "RdBu_r"
    return cmocean.cm.balance


def colour_limits(fields: list[xr.DataArray]) -> tuple[float, float]:
    """The values at the ends of the colours: of images fixed, else from the 2nd to the 98th percentile of all."""
    if is_image(fields[-1]):
        return (-1.0, 1.0)
    return _robust_limits(fields, is_anomaly(fields[-1]))


def _robust_limits(fields: list[xr.DataArray], symmetric: bool) -> tuple[float, float]:
    values = np.concatenate([np.asarray(f.values, dtype="float64").ravel() for f in fields])
    values = values[np.isfinite(values)]
    if not values.size:
        return (0.0, 1.0)
    low, high = (float(v) for v in np.percentile(values, [2, 98]))
    if symmetric:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def colour_extend(values: list[np.ndarray], limits: tuple[float, float]) -> str:
    """On which sides values go beyond the limits, in Matplotlib's words."""
    seen = [v[np.isfinite(v)] for v in values]
    below = any((v < limits[0]).any() for v in seen)
    above = any((v > limits[1]).any() for v in seen)
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]
