"""Source flags of a filled product: where each value comes from."""

from typing import Any

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError
from geogan.plotting.colours import LAND, ColourScale
from geogan.plotting.map_grid import MapGrid
from geogan.plotting.painting import draw_mesh, frame_map

_COLOURS = {
    "observed": "#3b6ea5",
    "filled": "#f2b84b",
    "land": LAND,
    "refused": "#9b2f3f",
    "unreadable": "#8e6bb0",
    "screened": "#4f8f5b",
}
_COLOURS_OF_OTHER_FLAGS = ("#7aa874", "#8d7fb8", "#c98b6b", "#5fa6a6", "#c5719e", "#8a8a8a")


def observed_part(filled: xr.DataArray, source: xr.DataArray) -> xr.DataArray:
    """Return the observed values of a filled product.

    Parameters
    ----------
    filled : DataArray, shape ([time,] y, x)
    source : DataArray of int, same shape
        CF flags of each cell (``flag_values``, ``flag_meanings``), one of which means ``observed``.

    Returns
    -------
    observed : DataArray, shape ([time,] y, x)
        NaN where the product was filled; lazy if ``filled`` is lazy.

    Raises
    ------
    InputError
        If no flag means ``observed``.

    Examples
    --------
    >>> flags = {"flag_values": [0, 1], "flag_meanings": "observed filled"}
    >>> source = xr.DataArray([[0, 1]], dims=("y", "x"), attrs=flags)
    >>> observed_part(xr.DataArray([[5.0, 6.0]], dims=("y", "x")), source).values.tolist()
    [[5.0, nan]]
    """
    for value, meaning in flag_names(source).items():
        if meaning == "observed":
            return filled.where(source == value)
    raise InputError(
        f"flag_meanings of {source.name} must name observed, got {source.attrs['flag_meanings']!r}; pass the "
        "gappy field as observed"
    )


def flag_names(source: xr.DataArray) -> dict[int, str]:
    """Return the meaning of each flag value.

    Raises
    ------
    InputError
        If ``flag_values`` and ``flag_meanings`` are missing or differ in number.
    """
    meanings = str(source.attrs.get("flag_meanings", "")).split()
    values = np.atleast_1d(source.attrs.get("flag_values", []))
    if not meanings or len(meanings) != len(values):
        raise InputError(
            f"source must name its flags in flag_values and flag_meanings, got {len(values)} values and "
            f"{len(meanings)} meanings; pass the sst_source of a filled product"
        )
    return {int(value): meaning for value, meaning in zip(values, meanings)}


def draw_flags(ax: Any, grid: MapGrid, flags: np.ndarray, names: dict[int, str]) -> None:
    """Draw one colour for each flag, with a legend of the flags that occur."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    other = iter(_COLOURS_OF_OTHER_FLAGS)
    colours = {value: _COLOURS.get(name) or next(other, "#555555") for value, name in names.items()}
    index = np.full(flags.shape, np.nan)
    for i, value in enumerate(names):
        index[flags == value] = i
    ax.set_facecolor(grid.gap)
    draw_mesh(ax, grid, index, ColourScale(ListedColormap(list(colours.values())), (-0.5, len(colours) - 0.5)))
    frame_map(ax, grid, has_coast=True, is_land_filled=False, has_row_labels=False)
    present = [value for value in names if (flags == value).any()]
    ax.legend(
        handles=[Patch(facecolor=colours[value], label=names[value].replace("_", " ")) for value in present],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02 if grid.is_image else -0.12),
        ncols=2,
        frameon=False,
        fontsize="small",
    )
