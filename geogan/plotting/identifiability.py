"""Maps of what the gaps of an archive leave unknown."""

from pathlib import Path

import numpy as np
import xarray as xr

from geogan.fields.axes import find_axes
from geogan.plotting.colours import ColourScale
from geogan.plotting.figure_file import figure_path, save_figure
from geogan.plotting.layout import Panels, legend_entries
from geogan.plotting.map_grid import map_grid, map_values
from geogan.plotting.map_view import map_view
from geogan.plotting.painting import draw_map, ground_of


def plot_identifiability(
    field: xr.DataArray, domain: np.ndarray, seen: np.ndarray, never: np.ndarray, path: str | Path
) -> Path:
    """Draw how often each cell is observed, and which share of its pairs is never observed together.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        Only its grid is used.
    domain : ndarray of bool, shape (H, W)
    seen : ndarray, shape (H, W)
        Share of the dates on which a cell is observed.
    never : ndarray, shape (H, W)
        Share of the pairs of a cell that are never observed together.
    path : str or Path
        PNG, PDF or SVG.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the figure cannot be written.
    """
    import matplotlib.pyplot as plt

    target, axes = figure_path(path), find_axes(field)
    still = field.isel({dim: 0 for dim in field.dims if dim not in (axes.y, axes.x)}, drop=True)
    still = still.transpose(axes.y, axes.x)
    grid = map_grid(still)
    view = map_view(grid)
    inside = map_values(still.copy(data=domain.astype(np.float32)), grid).astype(bool)
    ground = ground_of(still, grid, np.where(inside, 1.0, np.nan))
    titles = ("dates on which a cell is observed", "pairs never observed together")
    panels = Panels(view, 2)
    try:
        for number, (title, values) in enumerate(zip(titles, (seen, never), strict=True)):
            shares = map_values(still.copy(data=np.where(domain, 100 * values, np.nan).astype(np.float32)), grid)
            most = float(np.nanmax(shares)) if np.isfinite(shares).any() else 0.0
            scale = ColourScale("viridis" if number == 0 else "magma_r", (0.0, most or 1.0))
            mesh = draw_map(panels.axes[number], view, shares, scale, ground, domain=inside)
            panels.frame(number)
            panels.title(number, title)
            panels.colour_bar([number], mesh, scale, "%", [shares])
        panels.legend(legend_entries(view, ground, has_gaps=False, domain=inside))
        panels.finish()
        save_figure(panels.figure, target)
    finally:
        plt.close(panels.figure)
    return target
