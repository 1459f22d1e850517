"""Observed and filled field side by side, with the error or the source of the filled values."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from geogan.fields.field import Field
from geogan.fields.quantities import full_turn, is_direction
from geogan.fields.selection import select_band, select_common_date
from geogan.fields.source_flags import flag_names
from geogan.operators.choices import choice
from geogan.operators.errors import InputError
from geogan.plotting.colours import ColourScale, colour_scale, diverging_map
from geogan.plotting.figure_file import figure_path, save_figure
from geogan.plotting.flags import draw_flags
from geogan.plotting.layout import Panels
from geogan.plotting.map_style import MapStyle
from geogan.plotting.product_maps import (
    ProductMaps,
    draw_error,
    draw_values,
    error_scale,
    over_bands,
    product_legend,
    product_maps,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = ("observed", "filled", "truth", "difference", "error", "source")
"""Names of the maps of a reconstruction."""
# What a map is drawn from that is not always given.
_NEEDS = {"truth": "truth", "difference": "truth", "error": "std", "source": "source"}


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
    panels: Sequence[str] | None = None,
    style: MapStyle = MapStyle(),
) -> "Figure":
    """Draw the observed field, the filled field, and its error or the source of each value.

    Maps of the error have colours in filled cells only, and the colour scale is that of these cells; observed cells
    are grey. Cells that a fill refused have a colour of their own.

    Parameters
    ----------
    observed : DataArray, shape ([time,] [band,] y, x)
        Measured field, NaN in gaps.
    filled : DataArray, shape ([time,] [band,] y, x)
        Reconstruction on the same grid, NaN outside the domain.
    truth : DataArray, optional
        True field in the same unit. For a colour image the map shows the root mean square error over the bands.
    source : DataArray, optional
        CF flags of each cell (``flag_values``, ``flag_meanings``), with which refused cells are known.
    std : DataArray, optional
        Predicted standard deviation of the error, NaN where observed.
    date : str, float or datetime64, optional
        The nearest date is drawn; for samples, their number. By default, of up to twenty dates, the one whose
        observed share is nearest to one half.
    band : str or int, optional
        Name of the band, or its number. By default red, green and blue together, or the first of other bands.
    path : str or Path, optional
        Save the figure to this file: PNG, PDF or SVG.
    panels : sequence of str, optional
        Maps to draw, in this order: ``"observed"``, ``"filled"``, ``"truth"``, ``"difference"`` (filled minus truth;
        for logarithmic colours their ratio), ``"error"`` (``std``), ``"source"``. By default observed, filled, and
        the first that is given of difference, error and source.
    style : MapStyle
        Projection, colours and resolution.

    Returns
    -------
    figure : Figure
        The caller closes it.

    Raises
    ------
    InputError
        If grids, units or dates differ, a panel lacks its field, or the figure cannot be written.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> import matplotlib.pyplot as plt
    >>> truth = synthetic_sst(days=2, size=24)["sst"]
    >>> figure = plot_reconstruction(truth.where(truth.lon < -45.2), truth, date="2015-01-02")
    >>> figure.get_suptitle()
    'sea surface temperature (synthetic), 2015-01-02'
    >>> [ax.get_title(loc="left") for ax in figure.axes[:2]]
    ['(a) observed', '(b) filled']
    >>> plt.close(figure)
    """
    target = None if path is None else figure_path(path)
    arrays = {"filled": filled, "observed": observed, "truth": truth, "source": source, "std": std}
    fields = {name: Field.of(array) for name, array in arrays.items() if array is not None}
    names = _panel_names(panels, fields)
    fields = select_common_date(fields, date)
    given = {name: select_band(field, band, like=fields["filled"]).array for name, field in fields.items()}
    filled, observed = given["filled"], given["observed"]
    check_units(given)
    shown = [given[name] for name in ("truth", "observed", "filled") if name in names] or [filled]
    scale = colour_scale(shown, colours=style.colormap, limits=style.limits, is_log=style.log)
    maps = product_maps(given, style.projection)
    drawn = Panels(maps.view, len(names))
    draw_values(drawn, names, maps, scale, colour_bar_label(filled))
    has_grey = False
    for number, name in enumerate(names):
        if name == "difference":
            has_grey |= _draw_difference(drawn, number, maps, filled, is_ratio=scale.is_log)
        elif name == "error":
            has_grey |= _draw_predicted_error(drawn, number, maps, display_units(filled), is_log=scale.is_log)
        elif name == "source":
            draw_flags(drawn.axes[number], maps.view, maps.arrays["source"], flag_names(given["source"]))
            drawn.title(number, "source")
        drawn.frame(number)
    drawn.legend(product_legend(maps, names, has_grey=has_grey))
    date_text = date_title(observed) or date_title(filled)
    drawn.heading(", ".join(part for part in (display_name(filled), date_text) if part))
    drawn.finish()
    if target is not None:
        save_figure(drawn.figure, target, dpi=style.dpi)
    return drawn.figure


def _panel_names(panels: Sequence[str] | None, given: dict[str, Any]) -> list[str]:
    """Return the names of the maps; raise InputError for one that is unknown, repeated or lacks its field."""
    if panels is None:
        third = [name for name in ("difference", "error", "source") if _NEEDS[name] in given]
        return ["observed", "filled", *third[:1]]
    names = [choice(name, PANELS, "panel") for name in panels]
    if not names or len(set(names)) < len(names):
        raise InputError(f"panels must name each map once, got {', '.join(names) or 'none'}; choose from {PANELS}")
    for name in names:
        if _NEEDS.get(name, "filled") not in given:
            raise InputError(f"the panel {name} needs {_NEEDS[name]}, which is not given; leave the panel out")
    return names


def check_units(fields: dict[str, xr.DataArray]) -> None:
    """Raise InputError if observed or true field have another unit than the filled one."""
    filled = fields["filled"]
    for name in ("observed", "truth"):
        units = str(fields[name].attrs.get("units", "")) if name in fields else ""
        if units and display_units(filled) and display_units(fields[name]) != display_units(filled):
            raise InputError(f"{name} is in {units} and filled in {filled.attrs['units']}; convert one of them first")


def _draw_difference(drawn: Panels, number: int, maps: ProductMaps, filled: xr.DataArray, *, is_ratio: bool) -> bool:
    """Draw filled minus truth, or their ratio; the title gives the root mean square in the gaps."""
    units, estimate, truth = display_units(filled), maps.arrays["filled"], maps.arrays["truth"]
    if is_ratio:
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = np.log(np.where(estimate > 0, estimate, np.nan) / np.where(truth > 0, truth, np.nan))
    else:
        difference = error_of(filled, estimate, truth)
    is_kept = np.isfinite(maps.arrays["observed"]) & (difference == 0)
    in_gaps = np.isfinite(difference) & ~np.isfinite(maps.arrays["observed"])
    title = "filled / truth" if is_ratio else "filled − truth"
    if in_gaps.any():
        error = float(np.sqrt(np.mean(difference[in_gaps] ** 2)))
        text = f"factor {np.exp(error):.3g}" if is_ratio else f"RMSE {number_with_units(error, units)}"
        title += f": {text} in the gaps"
    drawn.title(number, title)
    values = over_bands(np.where(is_kept, np.nan, difference))
    scored = values[np.isfinite(values) & ~maps.observed] if in_gaps.any() else values[np.isfinite(values)]
    largest = float(np.percentile(np.abs(scored), 98)) if scored.size else 1.0
    largest = largest if largest > 0 else 1.0
    if is_ratio:
        scale = ColourScale(diverging_map(), (float(np.exp(-largest)), float(np.exp(largest))), is_log=True)
        return draw_error(drawn, number, maps, np.exp(values), scale, "ratio")
    if difference.ndim == 3:
        label, scale = "difference, root mean square of the bands", ColourScale("magma", (0.0, largest))
    else:
        label, scale = "difference", ColourScale(diverging_map(), (-largest, largest))
    return draw_error(drawn, number, maps, values, scale, with_units(label, units))


def error_of(field: xr.DataArray, estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return estimate minus truth; for directions, which ``field`` is then, the smaller angle with its sign."""
    turn = full_turn(field) if is_direction(field, by_name=True) else None
    return estimate - truth if turn is None else (estimate - truth + turn / 2) % turn - turn / 2


def _draw_predicted_error(drawn: Panels, number: int, maps: ProductMaps, units: str, *, is_log: bool) -> bool:
    """Draw the predicted standard deviation of filled cells."""
    std = over_bands(maps.arrays["std"])
    drawn.title(number, "predicted error")
    # An observed cell has no predicted error, or in some products an error of 0.
    std = np.where(maps.observed & (np.nan_to_num(std) == 0), np.nan, std)
    scale = error_scale(std, is_log=is_log)
    return draw_error(drawn, number, maps, std, scale, with_units("standard deviation", units))
