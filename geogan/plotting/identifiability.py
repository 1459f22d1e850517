"""Maps of what the gaps of an archive leave unknown."""

from pathlib import Path

import numpy as np
import xarray as xr

from geogan.fields.axes import find_axes
from geogan.plotting.colours import ColourScale
from geogan.plotting.figure_file import figure_path, save_figure
from geogan.plotting.map_grid import figure_size, map_grid, map_values, projection_of
from geogan.plotting.painting import draw_map


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
    figure = plt.figure(figsize=figure_size(grid, 2), layout="compressed")
    titles = ("dates on which a cell is observed", "pairs never observed together")
    inside = map_values(still.copy(data=domain.astype(np.float32)), grid).astype(bool)
    try:
        for number, (title, values) in enumerate(zip(titles, (seen, never), strict=True), 1):
            ax = figure.add_subplot(1, 2, number, projection=projection_of(grid))
            shares = map_values(still.copy(data=np.where(domain, 100 * values, np.nan).astype(np.float32)), grid)
            most = float(np.nanmax(shares)) if np.isfinite(shares).any() else 0.0
            scale = ColourScale("viridis" if number == 1 else "magma_r", (0.0, most or 1.0))
            mesh = draw_map(ax, grid, shares, scale, domain=inside, has_coast=True)
            ax.set_title(title, fontsize="medium")
            if mesh is not None:
                figure.colorbar(mesh, ax=ax, shrink=0.8, label="%")
        save_figure(figure, target)
    finally:
        plt.close(figure)
    return target
