"""One map of a field."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError
from geogan.plotting.captions import colour_bar_label, date_title
from geogan.plotting.colours import ColourScale, colour_extend, colour_limits, colour_map
from geogan.plotting.figure_file import figure_path, save_figure
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
    path: str | Path | None = None,
) -> "Axes":
    """Draw one map of a field with colour bar, unit, date and coastline; draw three bands as a colour image.

    Parameters
    ----------
    field : DataArray, shape (y, x), or (band, y, x) of red, green and blue
        NaN in gaps. Longitudes are in [-180, 180] or [0, 360], latitudes in either order. A field without longitudes
        and latitudes is drawn on plain axes. A map of more than 1200 cells along a side is thinned.
    ax : Axes, optional
        Axes to draw on, a cartopy map or plain axes; by default those of a new figure.
    cmap : str or Colormap, optional
        By default thermal colours for temperatures, a diverging map for anomalies, grey for images, else viridis.
    limits : (float, float), optional
        Colour range in the unit of the field; by default the 2nd and 98th percentiles, for images -1 and 1.
    coast : bool
        Draw the coastline if the field has longitudes and latitudes.
    domain : DataArray of bool, shape (y, x), optional
        True where the quantity exists; cells outside it are drawn as land, cells without a value inside it as gaps.
    path : str or Path, optional
        Save the figure to this file: PNG, PDF or SVG.

    Returns
    -------
    ax : Axes
        The caller closes its figure.

    Raises
    ------
    InputError
        If the field is not a single map, ``limits`` do not increase, or the figure cannot be written.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> import matplotlib.pyplot as plt
    >>> ax = plot_field(synthetic_sst(days=1, size=24)["sst"].isel(time=0))
    >>> ax.get_title()
    '2015-01-01'
    >>> plt.close(ax.figure)
    """
    target = None if path is None else figure_path(path)
    grid = map_grid(field)
    if limits is None:
        limits = colour_limits([field])
    elif not limits[0] < limits[1]:
        raise InputError(f"limits must increase, got {limits}; give the smaller value first")
    if ax is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=figure_size(grid, 1), layout="compressed")
        ax = figure.add_subplot(projection=projection_of(grid))
    values = map_values(field, grid)
    inside = None if domain is None else map_values(domain, grid, "domain").astype(bool)
    scale = ColourScale(cmap or colour_map(field), limits)
    mesh = draw_map(ax, grid, values, scale, domain=inside, has_coast=coast)
    ax.set_title(date_title(field))
    if mesh is not None:
        is_wide = np.ptp(grid.x_edges) > 1.3 * np.ptp(grid.y_edges) and ax.get_aspect() != "auto"
        ax.figure.colorbar(
            mesh,
            ax=ax,
            location="bottom" if is_wide else "right",
            label=colour_bar_label(field),
            extend=colour_extend([values], limits),
            shrink=0.85,
        )
    if target is not None and (whole := ax.get_figure(root=True)) is not None:
        save_figure(whole, target)
    return ax
