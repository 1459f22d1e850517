"""One map of a field."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError
from geogan.plotting.captions import date_of, label_of
from geogan.plotting.colours import colour_extend, colour_limits, colour_map
from geogan.plotting.map_grid import figure_size, map_grid, map_values, projection_of
from geogan.plotting.painting import draw_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap


def plot_field(
    field: xr.DataArray,
    *,
    ax: "Axes | None" = None,
    cmap: "str | Colormap | None" = None,
    limits: tuple[float, float] | None = None,
    coast: bool = True,
    domain: xr.DataArray | None = None,
) -> "Axes":
    """Draw one map of a field, with its colour bar, units, date and coastline; or an image in its colours.

    Parameters
    ----------
    field : DataArray, shape (y, x), or (band, y, x) of red, green and blue
        NaN where unseen. Longitudes in [-180, 180] or [0, 360], latitudes in either order; where the field
        has neither, plain axes are drawn. Larger maps than 1200 cells along a side are thinned.
    ax : Axes, optional
        Where to draw, a cartopy map or plain axes; a new figure where None.
    cmap : str or Colormap, optional
        By default thermal colours for temperatures, a diverging map for anomalies, grey for images, viridis
        otherwise.
    limits : (float, float), optional
        Colour range in the unit of the field; by default the 2nd and 98th percentiles, of images the range that
        they say.
    coast : bool
        Draw the coastline where the field has longitudes and latitudes.
    domain : DataArray of bool, shape (y, x), optional
        True where the quantity exists; cells outside it are painted as land and only those inside as gaps.

    Returns
    -------
    ax : Axes
        Its figure is the caller's to close.

    Raises
    ------
    InputError
        Where the field is no single map, or ``limits`` are not increasing.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> import matplotlib.pyplot as plt
    >>> ax = plot_field(synthetic_sst(days=1, size=24)["sst"].isel(time=0))
    >>> ax.get_title()
    '2015-01-01'
    >>> plt.close(ax.figure)
    """
    grid = map_grid(field)
    if limits is None:
        limits = colour_limits([field])
    elif not limits[0] < limits[1]:
        raise InputError(f"limits must increase, got {limits}; give the smaller value first")
    if ax is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=figure_size(grid, 1), layout="compressed")
        ax = figure.add_subplot(projection=projection_of(grid))
    inside = None if domain is None else map_values(domain, grid, "domain").astype(bool)
    mesh = draw_map(ax, grid, map_values(field, grid), inside, cmap or colour_map(field), limits, coast)
    ax.set_title(date_of(field))
    if mesh is None:
        return ax
    values = np.asarray(field.values, dtype="float64")
    wide = np.ptp(grid.x_edges) > 1.3 * np.ptp(grid.y_edges) and ax.get_aspect() != "auto"
    ax.figure.colorbar(
        mesh,
        ax=ax,
        location="bottom" if wide else "right",
        label=label_of(field),
        extend=colour_extend([values], limits),
        shrink=0.85,
    )
    return ax
