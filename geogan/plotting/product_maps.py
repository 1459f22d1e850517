"""Maps of one date of a filled product: observed, filled and refused cells, the domain, and maps of an error."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.captions import is_marine
from geogan.fields.source_flags import flag_names
from geogan.plotting.colours import OBSERVED, ColourScale, central_limits
from geogan.plotting.layout import Panels, legend_entries
from geogan.plotting.map_grid import MapGrid, map_grid, map_values
from geogan.plotting.map_view import MapView, map_view
from geogan.plotting.painting import Ground, draw_cells, draw_map, ground_of, hide_on_land

VALUES = ("observed", "filled", "truth")
"""Maps of values, which share one colour scale."""


class ProductMaps(NamedTuple):
    """Arrays of one date on one grid.

    Attributes
    ----------
    view : MapView
    ground : Ground
    arrays : dict of str to ndarray
        Those of ``observed``, ``filled``, ``truth``, ``std``, ``source`` and others that are given, each (y, x), or
        (y, x, band) for colour images.
    domain, observed, refused : ndarray of bool, shape (y, x)
        Cells in which the quantity exists; with an observation; that a fill left empty because of their error.
    """

    view: MapView
    ground: Ground
    arrays: dict[str, np.ndarray]
    domain: np.ndarray
    observed: np.ndarray
    refused: np.ndarray

    @property
    def grid(self) -> MapGrid:
        """Grid of all arrays."""
        return self.view.grid


def product_maps(fields: dict[str, xr.DataArray], projection: str | None) -> ProductMaps:
    """Return the arrays to draw, and the domain: cells that have a value in any of them, or a flag that says so."""
    filled = fields["filled"]
    grid = map_grid(filled)
    arrays = {name: map_values(fields[name], grid, name) for name in fields}
    is_observed = in_any_band(np.isfinite(arrays["observed"]))
    has_value = [in_any_band(np.isfinite(arrays[name])) for name in VALUES if name in arrays]
    refused = np.zeros(grid.shape, bool)
    if "source" in arrays:
        # A cell with one filled band counts as filled.
        flags = arrays["source"].max(-1) if arrays["source"].ndim == 3 else arrays["source"]
        arrays["source"] = flags
        names = flag_names(fields["source"])
        # A refused cell has no value but lies in the domain.
        has_value.append(np.isin(flags, [value for value, name in names.items() if name != "land"]))
        refused = np.isin(flags, [value for value, name in names.items() if name == "refused"])
        refused &= ~np.isfinite(over_bands(arrays["filled"]))
    domain = np.any(has_value, axis=0)
    ground = ground_of(filled, grid, arrays["observed"] if is_observed.any() else arrays["filled"])
    if ground.surface == "sea" and is_marine(filled) and domain.all():
        # The domain of a scene is unknown unless a mask is given: its fill covers the land.
        for name in ("filled", "std"):
            if name in arrays:
                arrays[name] = hide_on_land(grid, arrays[name], ~is_observed)
        refused = refused & np.isfinite(hide_on_land(grid, np.zeros(grid.shape), ~is_observed))
    return ProductMaps(map_view(grid, projection), ground, arrays, domain, is_observed, refused)


def draw_values(drawn: Panels, names: Sequence[str], maps: ProductMaps, scale: ColourScale, label: str) -> None:
    """Draw the maps of values in one colour scale, with one colour bar."""
    numbers = [number for number, name in enumerate(names) if name in VALUES]
    mesh = None
    for number in numbers:
        name = names[number]
        mesh = draw_map_of(drawn, number, maps, maps.arrays[name], scale, has_refused=name == "filled")
        drawn.title(number, name)
    if numbers:
        drawn.colour_bar(numbers, mesh, scale, label, [maps.arrays[names[number]] for number in numbers])


def draw_map_of(
    drawn: Panels,
    number: int,
    maps: ProductMaps,
    values: np.ndarray,
    scale: ColourScale,
    *,
    has_refused: bool = True,
) -> Any:
    """Draw values on the ground and in the domain of a product; return the mesh, None for a colour image."""
    refused = maps.refused if has_refused else None
    return draw_map(drawn.axes[number], maps.view, values, scale, maps.ground, domain=maps.domain, refused=refused)


def draw_error(
    drawn: Panels, number: int, maps: ProductMaps, values: np.ndarray, scale: ColourScale, label: str
) -> bool:
    """Draw an error with observed cells that have none in grey; return whether there are such cells."""
    ax, grey = drawn.axes[number], maps.observed & ~np.isfinite(values)
    if grey.any():
        draw_cells(ax, maps.view, grey, OBSERVED, zorder=0.9)
    mesh = draw_map_of(drawn, number, maps, values, scale)
    drawn.colour_bar([number], mesh, scale, label, [values])
    return bool(grey.any())


def product_legend(maps: ProductMaps, names: Sequence[str], *, has_grey: bool = False) -> dict[str, str]:
    """Return the colours of cells without a value by their label."""
    shows_values = any(name != "source" for name in names)
    if not shows_values:
        return {}
    missing = [~np.isfinite(over_bands(maps.arrays[name])) for name in names if name in VALUES]
    has_gaps = any(bool((gaps & maps.domain & ~maps.refused).any()) for gaps in missing)
    refused = maps.refused if set(names) & {"filled", "error", "difference"} else None
    entries = legend_entries(maps.view, maps.ground, has_gaps=has_gaps, domain=maps.domain, refused=refused)
    return {"observed": OBSERVED} | entries if has_grey else entries


def error_scale(values: np.ndarray, *, is_log: bool = False) -> ColourScale:
    """Return the colour scale of a predicted error or a spread: that of the cells with a value."""
    known = values[np.isfinite(values)]
    is_log = is_log and bool((known > 0).any())
    known = known[known > 0] if is_log else known
    return ColourScale("YlOrRd", central_limits(known, is_log=is_log) if known.size else (0.0, 1.0), is_log)


def over_bands(values: np.ndarray) -> np.ndarray:
    """Return the root mean square over three bands; a map of one band stays as it is."""
    return np.sqrt(np.mean(values**2, -1)) if values.ndim == 3 else values


def in_any_band(is_true: np.ndarray) -> np.ndarray:
    """Return where a condition holds in at least one band, shape (y, x)."""
    return np.any(is_true, axis=-1) if is_true.ndim == 3 else is_true
