"""Hovmöller diagrams: a field over time and longitude, or over time and latitude."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from geogan.fields.captions import colour_bar_label, display_name, format_date
from geogan.fields.field import Field
from geogan.fields.geography import geographic_kind, latitude
from geogan.operators.choices import choice
from geogan.operators.errors import InputError
from geogan.plotting.colours import GAP, ColourScale, colour_scale
from geogan.plotting.figure_file import figure_path, save_figure
from geogan.plotting.layout import draw_colour_bar
from geogan.plotting.map_grid import axis_edges
from geogan.plotting.map_style import MapStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIDES = ("longitude", "latitude", "x", "y")


def plot_hovmoller(
    field: xr.DataArray,
    along: str = "longitude",
    *,
    observed: xr.DataArray | None = None,
    ax: "Axes | None" = None,
    path: str | Path | None = None,
    style: MapStyle = MapStyle(),
) -> "Axes":
    """Draw the mean of a field over one side of the grid, by time and the other side.

    Means are over the cells with a value, weighted with their area where the field has latitudes.

    Parameters
    ----------
    field : DataArray, shape (time, y, x)
        NaN in gaps; lazy or not.
    along : {"longitude", "latitude", "x", "y"}
        The side that is kept. Along longitudes time is the vertical axis, along latitudes the horizontal one.
    observed : DataArray, shape (time, y, x), optional
        Observed values of the same field, drawn in the same colours in axes of their own before it.
    ax : Axes, optional
        Plain axes to draw on; by default those of a new figure. It cannot be given with ``observed``.
    path : str or Path, optional
        Save the figure to this file: PNG, PDF or SVG.
    style : MapStyle
        Colours and resolution.

    Returns
    -------
    ax : Axes
        Those of ``field``; the caller closes their figure.

    Raises
    ------
    InputError
        If the field has no time, or bands, or ``along`` is not a side of it.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> import matplotlib.pyplot as plt
    >>> ax = plot_hovmoller(synthetic_sst(days=5, size=24)["sst"], "latitude")
    >>> ax.get_ylabel(), len(ax.collections[0].get_array())
    ('latitude', 24)
    >>> plt.close(ax.figure)
    """
    target = None if path is None else figure_path(path)
    side = choice(along, _SIDES, "side of a Hovmöller diagram")
    is_along_x = side in ("longitude", "x")
    fields = [field] if observed is None else [observed, field]
    means = [_mean(array, is_along_x=is_along_x) for array in fields]
    scale = colour_scale(means, colours=style.colormap, limits=style.limits, is_log=style.log)
    if ax is None:
        axes = _new_axes(len(fields), means[-1].shape[0], is_along_x=is_along_x)
    elif observed is not None:
        raise InputError("observed values need axes of their own, but ax is given; leave one of them out")
    else:
        axes = [ax]
    titles = [display_name(field)] if observed is None else ["(a) observed", "(b) filled"]
    for each, mean, title in zip(axes, means, titles, strict=True):
        mesh = _draw(each, mean, scale, is_along_x=is_along_x)
        each.set_title(title)
    label = colour_bar_label(means[-1])
    draw_colour_bar(axes, mesh, scale, label, [mean.values for mean in means], is_column=True, is_caller=True)
    if target is not None and (whole := axes[-1].get_figure(root=True)) is not None:
        save_figure(whole, target, dpi=style.dpi)
    return axes[-1]


def _mean(field: xr.DataArray, *, is_along_x: bool) -> xr.DataArray:
    """Return the means over one side of the grid, (time, other side)."""
    axes = Field.of(field).axes
    if axes.time is None or axes.independent or axes.band is not None:
        raise InputError(
            f"a Hovmöller diagram needs a field with dates, (time, y, x), got the dimensions {field.dims}; select a "
            "band, or draw a map"
        )
    kept, averaged = (axes.x, axes.y) if is_along_x else (axes.y, axes.x)
    degrees = latitude(field, axes)
    if is_along_x and degrees is not None:
        weights = xr.DataArray(np.cos(np.radians(degrees)).clip(0), dims=averaged)
        mean = field.weighted(weights).mean(averaged, keep_attrs=True)
    else:
        mean = field.mean(averaged, keep_attrs=True)
    return mean.transpose(axes.time, kept).compute().astype("float64").rename(field.name)


def _new_axes(count: int, dates: int, *, is_along_x: bool) -> "list[Axes]":
    """Return the axes of a new figure: side by side with time downwards, or one above the other."""
    import matplotlib.pyplot as plt

    shape = (1, count) if is_along_x else (count, 1)
    height = float(np.clip(2.5 + dates / 60, 3.5, 8.0))
    size = (1.4 + 3.6 * count, height) if is_along_x else (8.0, 0.8 + 2.4 * count)
    figure, axes = plt.subplots(*shape, figsize=size, layout="constrained", sharex=True, sharey=True, squeeze=False)
    if is_along_x:
        axes[0, 0].invert_yaxis()
    return list(axes.flat)


def _draw(ax: "Axes", mean: xr.DataArray, scale: ColourScale, *, is_along_x: bool) -> Any:
    """Draw means by time and one side of the grid; return the mesh."""
    time, kept = mean.dims
    edges, label = axis_edges(mean, str(kept))
    times, formatter = _time_edges(mean[time].values)
    x, y, shown = (edges, times, mean.values) if is_along_x else (times, edges, mean.values.T)
    ax.set_facecolor(GAP)
    mesh = ax.pcolormesh(
        x,
        y,
        np.ma.masked_invalid(scale.drawable(shown)),
        cmap=scale.colours,
        norm=scale.norm(),
        rasterized=True,
        edgecolors="none",
    )
    time_axis, side_axis = (ax.yaxis, ax.xaxis) if is_along_x else (ax.xaxis, ax.yaxis)
    _label_times(time_axis, formatter)
    side_axis.set_label_text(label)
    if kept in mean.coords and geographic_kind(mean.coords[kept]) is not None:
        from matplotlib.ticker import FuncFormatter

        is_longitude = time_axis is ax.yaxis
        side_axis.set_label_text("longitude" if is_longitude else "latitude")
        side_axis.set_major_formatter(FuncFormatter(_longitude_text if is_longitude else _latitude_text))
    ax.label_outer()
    return mesh


def _longitude_text(value: float, position: Any = None) -> str:
    """Return a longitude as one writes it, such as 15°W."""
    degrees = round((value + 180) % 360 - 180, 6)
    return f"{abs(degrees):g}°{'' if degrees in (0, -180) else 'W' if degrees < 0 else 'E'}"


def _latitude_text(value: float, position: Any = None) -> str:
    """Return a latitude as one writes it, such as 40°N."""
    degrees = round(value, 6)
    return f"{abs(degrees):g}°{'' if degrees == 0 else 'S' if degrees < 0 else 'N'}"


def _time_edges(times: np.ndarray) -> tuple[np.ndarray, Any]:
    """Return the edges of dates on an axis, and the function that writes a place on it; None for Matplotlib's."""
    if np.issubdtype(times.dtype, np.datetime64):
        from matplotlib.dates import date2num

        return _edges(date2num(times)), None
    if times.dtype == object and hasattr(times[0], "calendar"):
        import datetime

        days = np.array([(time - times[0]).total_seconds() / 86400 for time in times])
        return _edges(days), lambda day, _: format_date(times[0] + datetime.timedelta(days=round(day)))
    return _edges(times.astype("float64")), lambda value, _: f"{value:g}"


def _edges(centres: np.ndarray) -> np.ndarray:
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _label_times(axis: Any, formatter: Any) -> None:
    """Label an axis of dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if formatter is None:
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axis.set_major_locator(locator)
        axis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(formatter))
