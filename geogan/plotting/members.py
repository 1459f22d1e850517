"""Members of an ensemble beside their mean and their spread."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from geogan.fields.captions import colour_bar_label, date_title, display_name, display_units, with_units
from geogan.fields.field import Field
from geogan.fields.selection import select_band, select_common_date
from geogan.operators.errors import InputError
from geogan.plotting.colours import colour_scale
from geogan.plotting.figure_file import figure_path, save_figure
from geogan.plotting.layout import Panels
from geogan.plotting.map_style import MapStyle
from geogan.plotting.product_maps import draw_error, draw_map_of, error_scale, product_legend, product_maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 24


def plot_members(
    members: xr.DataArray,
    filled: xr.DataArray,
    *,
    observed: xr.DataArray | None = None,
    source: xr.DataArray | None = None,
    count: int = 3,
    date: str | float | np.datetime64 | None = None,
    path: str | Path | None = None,
    style: MapStyle = MapStyle(),
) -> "Figure":
    """Draw the first members of an ensemble, the estimate and the spread of all members.

    Parameters
    ----------
    members : DataArray, shape (member, [time,] y, x)
        Two members or more.
    filled : DataArray, shape ([time,] y, x)
        The estimate.
    observed : DataArray, shape ([time,] y, x), optional
        Observed values; their cells are grey in the map of the spread.
    source : DataArray of int, shape ([time,] y, x), optional
        CF flags of each cell, with which refused cells are known.
    count : int
        Number of members to draw.
    date : str, float or datetime64, optional
        As in :func:`geogan.plot_reconstruction`.
    path : str or Path, optional
        Save the figure to this file: PNG, PDF or SVG.
    style : MapStyle
        Projection, colours and resolution.

    Returns
    -------
    figure : Figure
        The caller closes it.

    Raises
    ------
    InputError
        If there are fewer members than ``count`` or fewer than two, or grids or dates differ.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> import matplotlib.pyplot as plt
    >>> sea = synthetic_sst(days=1, size=24)["sst"]
    >>> members = xr.concat([sea - 0.1, sea, sea + 0.1], "member")
    >>> figure = plot_members(members, sea, count=2)
    >>> [ax.get_title(loc="left") for ax in figure.axes[:4]]
    ['(a) member 1', '(b) member 2', '(c) estimate', '(d) spread of 3 members']
    >>> plt.close(figure)
    """
    target = None if path is None else figure_path(path)
    total = members.sizes.get("member", 0)
    if total < 2:
        raise InputError(f"members must have a dimension member of 2 or more, got {dict(members.sizes)}")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= min(total, _MOST):
        raise InputError(
            f"members to draw must be a whole number from 1 to {min(total, _MOST)}, got {count!r}; give fewer"
        )
    arrays = {"filled": filled, "observed": filled if observed is None else observed}
    arrays |= {} if source is None else {"source": source}
    arrays |= {f"member {i + 1}": members.isel(member=i, drop=True) for i in range(total)}
    fields = select_common_date({name: Field.of(array) for name, array in arrays.items()}, date)
    given = {name: select_band(field, like=fields["filled"]).array for name, field in fields.items()}
    maps = product_maps(given, style.projection)
    if observed is None:
        maps = maps._replace(observed=np.zeros_like(maps.observed))
    shown = [f"member {i + 1}" for i in range(count)]
    scale = colour_scale(
        [given[name] for name in (*shown, "filled")], colours=style.colormap, limits=style.limits, is_log=style.log
    )
    drawn = Panels(maps.view, count + 2)
    values = [*(maps.arrays[name] for name in shown), maps.arrays["filled"]]
    for number, (title, array) in enumerate(zip((*shown, "estimate"), values, strict=True)):
        mesh = draw_map_of(drawn, number, maps, array, scale)
        drawn.title(number, title)
    drawn.colour_bar(range(count + 1), mesh, scale, colour_bar_label(given["filled"]), values)
    ensemble = np.stack([maps.arrays[f"member {i + 1}"] for i in range(total)])
    spread = np.where(maps.observed, np.nan, ensemble.std(0, ddof=1))
    label = with_units("standard deviation", display_units(filled))
    has_grey = draw_error(drawn, count + 1, maps, spread, error_scale(spread, is_log=scale.is_log), label)
    drawn.title(count + 1, f"spread of {total} members")
    for number in range(count + 2):
        drawn.frame(number)
    drawn.legend(product_legend(maps, ["filled"], has_grey=has_grey))
    date_text = date_title(given["filled"])
    drawn.heading(", ".join(part for part in (display_name(filled), date_text) if part))
    drawn.finish()
    if target is not None:
        save_figure(drawn.figure, target, dpi=style.dpi)
    return drawn.figure
