"""One map of a field."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from geogan.fields.captions import colour_bar_label, date_title
from geogan.plotting.colours import colour_scale
from geogan.plotting.figure_file import figure_path, save_figure
from geogan.plotting.frame import frame_map
from geogan.plotting.layout import Panels, draw_colour_bar, legend_entries
from geogan.plotting.map_grid import map_grid, map_values
from geogan.plotting.map_style import MapStyle, check_limits
from geogan.plotting.map_view import map_view
from geogan.plotting.painting import draw_map, ground_of, view_of_axes

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
    style: MapStyle = MapStyle(),
) -> "Axes":
    """Draw one map of a field with colour bar, unit, date, land and coastline; draw three bands as a colour image.

    Parameters
    ----------
    field : DataArray, shape (y, x), or (band, y, x) of red, green and blue
        NaN in gaps. Longitudes are in [-180, 180] or [0, 360], latitudes in either order; grids in metres need a CF
        grid mapping among their coordinates, curved grids two-dimensional longitudes and latitudes. Any other field
        is drawn on plain axes. A map of more than 1200 cells along a side is thinned.
    ax : Axes, optional
        Axes to draw on, a cartopy map or plain axes; by default those of a new figure, which also has a legend.
    cmap : str or Colormap, optional
        By default that of ``style``, else thermal colours for temperatures, a diverging map for anomalies, grey for
        images, else viridis.
    limits : (float, float), optional
        Colour range in the unit of the field; by default that of ``style``, else the 2nd and 98th percentiles, for
        images -1 and 1.
    coast : bool
        Draw land and coastline if the place of the field is known.
    domain : DataArray of bool, shape (y, x), optional
        True where the quantity exists; cells without a value inside it are drawn as gaps.
    path : str or Path, optional
        Save the figure to this file: PNG, PDF or SVG.
    style : MapStyle
        Projection, logarithmic colours and resolution.

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
    if limits is not None:
        check_limits(limits)
    scale = colour_scale([field], colours=cmap or style.colormap, limits=limits or style.limits, is_log=style.log)
    values = map_values(field, grid)
    inside = None if domain is None else map_values(domain, grid, "domain").astype(bool)
    ground, label, title = ground_of(field, grid, values), colour_bar_label(field), date_title(field)
    panels = None
    if ax is None:
        view = map_view(grid, style.projection)
        panels = Panels(view, 1)
        ax = panels.axes[0]
    else:
        view = view_of_axes(ax, grid, style.projection)
    mesh = draw_map(ax, view, values, scale, ground, domain=inside, has_coast=coast)
    if panels is None:
        frame_map(ax, view)
        ax.set_title(title)
        if mesh is not None:
            is_column = view.aspect is None or view.height > 0.8
            draw_colour_bar(ax, mesh, scale, label, [values], is_column=is_column, is_caller=True)
    else:
        panels.frame(0)
        ax.set_title(title)
        panels.colour_bar([0], mesh, scale, label, [values])
        has_gaps = (
            bool((~np.isfinite(values) & (True if inside is None else inside)).any()) if values.ndim == 2 else False
        )
        if coast:
            panels.legend(legend_entries(view, ground, has_gaps=has_gaps, domain=inside))
        panels.finish()
    whole = ax.get_figure(root=True)
    if target is not None and whole is not None:
        save_figure(whole, target, dpi=style.dpi)
    return ax
