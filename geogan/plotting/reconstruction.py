"""A field as it was observed beside what was filled, and what is known of that."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from geogan.fields.quantities import full_turn, is_direction
from geogan.operators.errors import InputError
from geogan.plotting.captions import date_of, label_of, name_of, outside_of, units_of
from geogan.plotting.colours import LAND, colour_extend, colour_limits, colour_map, diverging_map
from geogan.plotting.figure_file import figure_path
from geogan.plotting.flags import draw_flags, flag_names
from geogan.plotting.map_grid import MapGrid, figure_size, map_grid, map_values, projection_of
from geogan.plotting.painting import draw_map
from geogan.plotting.selection import select_band, select_same_date

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


def plot_reconstruction(
    observed: xr.DataArray,
    filled: xr.DataArray,
    *,
    truth: xr.DataArray | None = None,
    source: xr.DataArray | None = None,
    std: xr.DataArray | None = None,
    date: str | float | np.datetime64 | None = None,
    band: str | int | None = None,
    path: str | Path | None = None,
) -> "Figure":
    """Draw what was observed beside what was filled, and how far it is from the truth, may be, or where it is from.

    Parameters
    ----------
    observed : DataArray, shape ([time,] [band,] y, x)
        Measured field, NaN where unseen.
    filled : DataArray, shape ([time,] [band,] y, x)
        Reconstruction on the same grid, NaN outside the domain.
    truth : DataArray, optional
        What is true, in the same unit: the third panel is filled minus truth; in colours, the root mean square of
        that over the bands.
    source : DataArray, optional
        CF flags of each cell (``flag_values``, ``flag_meanings``): the third panel, where there is neither truth nor
        ``std``.
    std : DataArray, optional
        Predicted standard deviation of the error, NaN where observed: the third panel, where there is no truth.
    date : str, float or datetime64, optional
        The map nearest to it is drawn, or the sample of that number; by default, of up to twenty dates, the one
        that is nearest to half observed.
    band : str or int, optional
        As in :func:`select_band`.
    path : str or Path, optional
        Where to save the figure: PNG, PDF, SVG.

    Returns
    -------
    figure : Figure
        The caller's to close.

    Raises
    ------
    InputError
        Where grids, units or dates do not fit, or the path cannot be written as a figure.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> import matplotlib.pyplot as plt
    >>> truth = synthetic_sst(days=2, size=24)["sst"]
    >>> figure = plot_reconstruction(truth.where(truth.lon < -45.2), truth, date="2015-01-02")
    >>> figure.get_suptitle()
    'sea surface temperature (synthetic), 2015-01-02'
    >>> plt.close(figure)
    """
    import matplotlib.pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch

    target = None if path is None else figure_path(path)
    observed, filled, *others = select_same_date(observed, filled, truth, source, std, date)
    truth, source, std = (None if part is None else select_band(part, band, like=filled) for part in others)
    observed, filled = select_band(observed, band, like=filled), select_band(filled, band)
    grid = map_grid(filled)
    seen, full = map_values(observed, grid, "observed"), map_values(filled, grid)
    true = None if truth is None else map_values(truth, grid, "truth")
    for name, other in (("observed", observed), ("truth", truth)):
        units = "" if other is None else str(other.attrs.get("units", ""))
        if units and units_of(filled) and units_of(other) != units_of(filled):
            raise InputError(f"{name} is in {units} and filled in {filled.attrs['units']}; convert one of them first")

    flags = None if source is None or true is not None else map_values(source, grid, "source")
    domain = _in_any_band(np.isfinite(full) | np.isfinite(seen))
    if true is not None:
        domain |= _in_any_band(np.isfinite(true))
    if flags is not None:
        # A cell of which one colour was filled is filled.
        flags = flags.max(-1) if flags.ndim == 3 else flags
        names = flag_names(source)
        # A refused cell is sea without an answer, not land.
        domain |= np.isin(flags, [value for value, name in names.items() if name != "land"])
    spread = None if std is None or true is not None else map_values(std, grid, "std")

    panels = 2 if true is None and flags is None and spread is None else 3
    # The layout does not see titles of map axes: the one of the figure gets room of its own.
    figure = plt.figure(figsize=figure_size(grid, panels), layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 0.97)))
    axes = [figure.add_subplot(1, panels, i + 1, projection=projection_of(grid)) for i in range(panels)]
    limits, colours = colour_limits([observed, filled]), colour_map(filled)
    for i, (ax, values, title) in enumerate(zip(axes, (seen, full), ("observed", "filled"))):
        mesh = draw_map(ax, grid, values, domain, colours, limits, True, row_labels=i == 0)
        ax.set_title(title)
    if mesh is not None:
        extend = colour_extend([seen, full], limits)
        figure.colorbar(mesh, ax=axes[:2], location="bottom", shrink=0.6, label=label_of(filled), extend=extend)
    if true is not None:
        _draw_difference(axes[2], grid, _difference(filled, full, true), seen, domain, units_of(filled))
    elif spread is not None:
        _draw_spread(axes[2], grid, spread, seen, domain, units_of(filled))
    elif flags is not None:
        draw_flags(axes[2], grid, flags, names)
        axes[2].set_title("source")

    patches = [Patch(facecolor=grid.gap, edgecolor="0.6", label="not observed")]
    if not domain.all():
        patches.append(Patch(facecolor=LAND, edgecolor="0.6", label=outside_of(filled)))
    figure.legend(handles=patches, loc="outside lower left", ncols=2, frameon=False, fontsize="small")
    figure.suptitle(", ".join(part for part in (name_of(filled), date_of(observed) or date_of(filled)) if part))
    if target is not None:
        figure.savefig(target, dpi=150)
    return figure


def _difference(filled: xr.DataArray, full: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Filled minus truth, of directions by the shortest way round."""
    turn = full_turn(filled) if is_direction(filled, by_name=True) else None
    return full - true if turn is None else (full - true + turn / 2) % turn - turn / 2


def _draw_difference(
    ax: Any, grid: MapGrid, difference: np.ndarray, seen: np.ndarray, domain: np.ndarray, units: str
) -> None:
    """Filled minus truth, its root mean square in the gaps as the title."""
    panel, label = _over_bands(difference), "difference"
    hidden = np.isfinite(difference) & ~np.isfinite(seen)
    size = _size(np.abs(panel))
    title = "filled − truth"
    if hidden.any():
        error = f"{np.sqrt(np.mean(difference[hidden] ** 2)):.2g} {units}".strip()
        title += f": RMSE {error} in the gaps"
    ax.set_title(title)
    if difference.ndim == 3:
        label += ", root mean square of the bands"
        _draw_with_bar(ax, grid, panel, domain, "magma", (0.0, size), label, units)
    else:
        _draw_with_bar(ax, grid, panel, domain, diverging_map(), (-size, size), label, units)


def _draw_spread(ax: Any, grid: MapGrid, spread: np.ndarray, seen: np.ndarray, domain: np.ndarray, units: str) -> None:
    """The predicted error; what was observed is as pale as what is certain."""
    panel = _over_bands(spread)
    panel = np.where(np.isfinite(panel), panel, np.where(_in_any_band(np.isfinite(seen)), 0.0, np.nan))
    ax.set_title("predicted error")
    _draw_with_bar(ax, grid, panel, domain, "YlOrRd", (0.0, _size(panel)), "standard deviation", units)


def _draw_with_bar(
    ax: Any,
    grid: MapGrid,
    panel: np.ndarray,
    domain: np.ndarray,
    colours: "str | Colormap",
    limits: tuple[float, float],
    label: str,
    units: str,
) -> None:
    ax.figure.colorbar(
        draw_map(ax, grid, panel, domain, colours, limits, True, row_labels=False),
        ax=ax,
        location="bottom",
        shrink=0.9,
        label=f"{label} [{units}]" if units else label,
        extend=colour_extend([panel], limits),
    )


def _size(values: np.ndarray) -> float:
    """Where the colours of sizes end; 1 where there are none."""
    size = float(np.nanpercentile(values, 98)) if np.isfinite(values).any() else 1.0
    return size if size > 0 else 1.0


def _over_bands(values: np.ndarray) -> np.ndarray:
    """Of three colours the root mean square."""
    return np.sqrt(np.mean(values**2, -1)) if values.ndim == 3 else values


def _in_any_band(where: np.ndarray) -> np.ndarray:
    return np.any(where, axis=-1) if where.ndim == 3 else where
