"""Observed and filled field side by side, with the error or the source of the filled values."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.field import Field
from geogan.fields.quantities import full_turn, is_direction
from geogan.operators.errors import InputError
from geogan.plotting.captions import (
    colour_bar_label,
    date_title,
    display_name,
    display_units,
    outside_label,
    with_units,
)
from geogan.plotting.colours import LAND, ColourScale, colour_extend, colour_scale, diverging_map
from geogan.plotting.figure_file import figure_path, save_figure
from geogan.plotting.flags import draw_flags, flag_names
from geogan.plotting.map_grid import MapGrid, figure_size, map_grid, map_values, projection_of
from geogan.plotting.painting import draw_map
from geogan.plotting.selection import select_band, select_common_date

if TYPE_CHECKING:
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
    """Draw the observed field, the filled field, and a third map.

    The third map is the first of these that is given: filled minus truth (``truth``), the predicted error (``std``),
    or the source of each value (``source``).

    Parameters
    ----------
    observed : DataArray, shape ([time,] [band,] y, x)
        Measured field, NaN in gaps.
    filled : DataArray, shape ([time,] [band,] y, x)
        Reconstruction on the same grid, NaN outside the domain.
    truth : DataArray, optional
        True field in the same unit. For a colour image the map shows the root mean square error over the bands.
    source : DataArray, optional
        CF flags of each cell (``flag_values``, ``flag_meanings``).
    std : DataArray, optional
        Predicted standard deviation of the error, NaN where observed.
    date : str, float or datetime64, optional
        The nearest date is drawn; for samples, their number. By default, of up to twenty dates, the one whose
        observed share is nearest to one half.
    band : str or int, optional
        Name of the band, or its number. By default red, green and blue together, or the first of other bands.
    path : str or Path, optional
        Save the figure to this file: PNG, PDF or SVG.

    Returns
    -------
    figure : Figure
        The caller closes it.

    Raises
    ------
    InputError
        If grids, units or dates differ, or the figure cannot be written.

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

    target = None if path is None else figure_path(path)
    arrays = {"filled": filled, "observed": observed, "truth": truth, "source": source, "std": std}
    fields = {name: Field.of(array) for name, array in arrays.items() if array is not None}
    fields = select_common_date(fields, date)
    given = {name: select_band(field, band, like=fields["filled"]).array for name, field in fields.items()}
    filled, observed = given["filled"], given["observed"]
    _check_units(given)
    maps = _map_arrays(given)
    count = 2 if maps.third is None else 3
    # The layout engine ignores titles of map axes, so the figure's title needs reserved space.
    layout = ConstrainedLayoutEngine(rect=(0, 0, 1, 0.97))
    figure = plt.figure(figsize=figure_size(maps.grid, count), layout=layout)
    axes = [figure.add_subplot(1, count, i + 1, projection=projection_of(maps.grid)) for i in range(count)]
    _draw_fields(axes[:2], maps, colour_scale([observed, filled]), colour_bar_label(filled))
    if maps.third == "truth":
        _draw_difference(axes[2], maps, filled)
    elif maps.third == "std":
        _draw_predicted_error(axes[2], maps, display_units(filled))
    elif maps.third == "source":
        draw_flags(axes[2], maps.grid, maps.arrays["source"], flag_names(given["source"]))
        axes[2].set_title("source")
    _draw_legend(figure, maps, outside_label(filled))
    date_text = date_title(observed) or date_title(filled)
    figure.suptitle(", ".join(part for part in (display_name(filled), date_text) if part))
    if target is not None:
        save_figure(figure, target)
    return figure


class _Maps(NamedTuple):
    """Arrays of one date on one grid.

    ``arrays`` hold ``observed``, ``filled`` and those of ``truth``, ``std`` and ``source`` that are drawn, each
    (y, x), or (y, x, band) for colour images; ``third`` names the third map.
    """

    grid: MapGrid
    arrays: dict[str, np.ndarray]
    domain: np.ndarray
    third: str | None


def _check_units(fields: dict[str, xr.DataArray]) -> None:
    """Raise InputError if observed or true field have another unit than the filled one."""
    filled = fields["filled"]
    for name in ("observed", "truth"):
        units = str(fields[name].attrs.get("units", "")) if name in fields else ""
        if units and display_units(filled) and display_units(fields[name]) != display_units(filled):
            raise InputError(f"{name} is in {units} and filled in {filled.attrs['units']}; convert one of them first")


def _map_arrays(fields: dict[str, xr.DataArray]) -> _Maps:
    """Return the arrays to draw, and the domain: cells that have a value in any of them."""
    grid = map_grid(fields["filled"])
    third = next((name for name in ("truth", "std", "source") if name in fields), None)
    names = ("observed", "filled", "truth") if third == "truth" else ("observed", "filled", "source", "std")
    arrays = {name: map_values(fields[name], grid, name) for name in names if name in fields}
    has_value = [_in_any_band(np.isfinite(arrays[name])) for name in ("observed", "filled", "truth") if name in arrays]
    if "source" in arrays:
        # A cell with one filled band counts as filled.
        flags = arrays["source"].max(-1) if arrays["source"].ndim == 3 else arrays["source"]
        arrays["source"] = flags
        # A refused cell has no value but lies in the domain.
        inside = [value for value, name in flag_names(fields["source"]).items() if name != "land"]
        has_value.append(np.isin(flags, inside))
    return _Maps(grid, arrays, np.any(has_value, axis=0), third)


def _draw_fields(axes: list[Any], maps: _Maps, scale: ColourScale, label: str) -> None:
    """Draw the observed and the filled field in one colour scale."""
    pair = [maps.arrays["observed"], maps.arrays["filled"]]
    for i, (ax, values, title) in enumerate(zip(axes, pair, ("observed", "filled"))):
        mesh = draw_map(ax, maps.grid, values, scale, domain=maps.domain, has_row_labels=i == 0)
        ax.set_title(title)
    if mesh is not None:
        extend = colour_extend(pair, scale.limits)
        axes[0].figure.colorbar(mesh, ax=axes, location="bottom", shrink=0.6, label=label, extend=extend)


def _draw_difference(ax: Any, maps: _Maps, filled: xr.DataArray) -> None:
    """Draw filled minus truth; the title gives the root mean square error in the gaps."""
    units, difference = display_units(filled), _difference(filled, maps.arrays["filled"], maps.arrays["truth"])
    in_gaps = np.isfinite(difference) & ~np.isfinite(maps.arrays["observed"])
    title = "filled − truth"
    if in_gaps.any():
        error = f"{np.sqrt(np.mean(difference[in_gaps] ** 2)):.2g} {units}".strip()
        title += f": RMSE {error} in the gaps"
    ax.set_title(title)
    values = _over_bands(difference)
    largest = _largest(np.abs(values))
    if difference.ndim == 3:
        label, scale = "difference, root mean square of the bands", ColourScale("magma", (0.0, largest))
    else:
        label, scale = "difference", ColourScale(diverging_map(), (-largest, largest))
    _draw_with_colour_bar(ax, maps, values, scale, with_units(label, units))


def _difference(filled: xr.DataArray, estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return filled minus truth; for directions the smaller angle between the two, with its sign."""
    turn = full_turn(filled) if is_direction(filled, by_name=True) else None
    return estimate - truth if turn is None else (estimate - truth + turn / 2) % turn - turn / 2


def _draw_predicted_error(ax: Any, maps: _Maps, units: str) -> None:
    """Draw the predicted standard deviation, with 0 where the field was observed."""
    std = _over_bands(maps.arrays["std"])
    is_observed = _in_any_band(np.isfinite(maps.arrays["observed"]))
    std = np.where(np.isfinite(std), std, np.where(is_observed, 0.0, np.nan))
    ax.set_title("predicted error")
    scale = ColourScale("YlOrRd", (0.0, _largest(std)))
    _draw_with_colour_bar(ax, maps, std, scale, with_units("standard deviation", units))


def _draw_with_colour_bar(ax: Any, maps: _Maps, values: np.ndarray, scale: ColourScale, label: str) -> None:
    mesh = draw_map(ax, maps.grid, values, scale, domain=maps.domain, has_row_labels=False)
    extend = colour_extend([values], scale.limits)
    ax.figure.colorbar(mesh, ax=ax, location="bottom", shrink=0.9, label=label, extend=extend)


def _draw_legend(figure: "Figure", maps: _Maps, outside: str) -> None:
    """Draw the colours of a gap and of a cell outside the domain."""
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=maps.grid.gap, edgecolor="0.6", label="not observed")]
    if not maps.domain.all():
        patches.append(Patch(facecolor=LAND, edgecolor="0.6", label=outside))
    figure.legend(handles=patches, loc="outside lower left", ncols=2, frameon=False, fontsize="small")


def _largest(values: np.ndarray) -> float:
    """Return the upper end of a colour scale from 0: the 98th percentile, or 1 if that is not positive."""
    largest = float(np.nanpercentile(values, 98)) if np.isfinite(values).any() else 1.0
    return largest if largest > 0 else 1.0


def _over_bands(values: np.ndarray) -> np.ndarray:
    """Return the root mean square over three bands; a map of one band stays as it is."""
    return np.sqrt(np.mean(values**2, -1)) if values.ndim == 3 else values


def _in_any_band(is_true: np.ndarray) -> np.ndarray:
    """Return where a condition holds in at least one band, shape (y, x)."""
    return np.any(is_true, axis=-1) if is_true.ndim == 3 else is_true
