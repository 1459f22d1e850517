"""Estimates of several methods on one date, and their errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from geogan.fields.captions import (
    colour_bar_label,
    date_title,
    display_name,
    display_units,
    number_with_units,
    with_units,
)
from geogan.operators.errors import InputError
from geogan.plotting.colours import ColourScale, colour_scale, diverging_map
from geogan.plotting.figure_file import figure_path, save_figure
from geogan.plotting.layout import Panels
from geogan.plotting.map_style import MapStyle
from geogan.plotting.product_maps import draw_map_of, product_legend, product_maps
from geogan.plotting.reconstruction import error_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_methods(
    estimates: Mapping[str, xr.DataArray],
    observed: xr.DataArray,
    truth: xr.DataArray,
    *,
    path: str | Path | None = None,
    style: MapStyle = MapStyle(),
) -> "Figure":
    """Draw what was observed, the truth in hidden cells, and of each method the estimate and its error there.

    Parameters
    ----------
    estimates : mapping of str to DataArray, shape (y, x)
        By method, all of one date.
    observed : DataArray, shape (y, x)
        What the methods were given.
    truth : DataArray, shape (y, x)
        NaN in cells that are not scored.
    path : str or Path, optional
        Save the figure to this file: PNG, PDF or SVG.
    style : MapStyle
        Projection, colours and resolution.

    Returns
    -------
    figure : Figure
        The caller closes it. Titles give the root mean square error; all estimates have one colour scale, and all
        errors.

    Raises
    ------
    InputError
        If there is no estimate, or no cell with an estimate and a truth, or grids differ.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> import matplotlib.pyplot as plt
    >>> sea = synthetic_sst(days=1, size=24)["sst"].isel(time=0)
    >>> is_hidden = sea.lon > -45.2
    >>> figure = plot_methods({"mean": sea * 0 + sea.mean()}, sea.where(~is_hidden), sea.where(is_hidden))
    >>> [ax.get_title(loc="left").split(":")[0] for ax in figure.axes[:4]]
    ['(a) observed', '(b) hidden', '(c) mean', '(d) error']
    >>> plt.close(figure)
    """
    target = None if path is None else figure_path(path)
    if not estimates:
        raise InputError("a comparison of methods needs estimates, got none; give one method or more")
    first = next(iter(estimates.values()))
    given = {"filled": first, "observed": observed, "truth": truth}
    given |= {f"method {name}": array for name, array in estimates.items()}
    maps = product_maps(given, style.projection)
    errors = {name: error_of(first, maps.arrays[f"method {name}"], maps.arrays["truth"]) for name in estimates}
    found = np.concatenate([np.abs(error[np.isfinite(error)]) for error in errors.values()])
    if not found.size:
        raise InputError("a comparison of methods needs cells with an estimate and a truth, got none")
    largest = float(np.percentile(found, 98)) or 1.0
    shown = [observed, truth, *estimates.values()]
    scale = colour_scale(shown, colours=style.colormap, limits=style.limits, is_log=style.log)
    error_scale = ColourScale(diverging_map(), (-largest, largest))
    units = display_units(first)
    panels = {"observed": maps.arrays["observed"], "hidden": maps.arrays["truth"]}
    drawn = Panels(maps.view, 2 + 2 * len(estimates), multiple=2)
    values = []
    for number, (name, array) in enumerate(panels.items()):
        mesh = draw_map_of(drawn, number, maps, array, scale)
        drawn.title(number, name)
        values.append(array)
    for method, (name, error) in enumerate(errors.items(), 1):
        array = maps.arrays[f"method {name}"]
        mesh = draw_map_of(drawn, 2 * method, maps, array, scale)
        drawn.title(2 * method, name)
        error_mesh = draw_map_of(drawn, 2 * method + 1, maps, error, error_scale)
        rmse = float(np.sqrt(np.nanmean(error**2))) if np.isfinite(error).any() else float("nan")
        drawn.title(2 * method + 1, f"error: RMSE {number_with_units(rmse, units)}")
        values.append(array)
    left, right = drawn.last_row_halves()
    drawn.add_bar(left, mesh, scale, colour_bar_label(first), values)
    drawn.add_bar(right, error_mesh, error_scale, with_units("difference", units), list(errors.values()))
    for number in range(drawn.count):
        drawn.frame(number)
    drawn.legend(product_legend(maps, ["observed"]))
    date_text = date_title(first)
    drawn.heading(", ".join(part for part in (display_name(first), date_text) if part))
    drawn.finish()
    if target is not None:
        save_figure(drawn.figure, target, dpi=style.dpi)
    return drawn.figure
