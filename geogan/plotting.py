"""Maps with coastlines that need no network, and images."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from geogan.coastlines import coastlines, land
from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from geogan.coordinates import Axes as Axes_

_GAP, _LAND, _COAST = "#e6e6e6", "#b3a892", "#3c3a35"
_GAP_OF_IMAGES = "#9db4cf"  # in grey images grey would be a value
_SOURCE_COLOURS = {"observed": "#3b6ea5", "filled": "#f2b84b", "land": _LAND, "refused": "#9b2f3f"}
_SOURCE_COLOURS["unreadable"] = "#8e6bb0"
_UNITS = {
    "degree_celsius": "°C",
    "degrees_celsius": "°C",
    "degree_c": "°C",
    "degc": "°C",
    "deg_c": "°C",
    "celsius": "°C",
    "c": "°C",
    "kelvin": "K",
    "degree_kelvin": "K",
}
_LARGEST = 1200  # cells along a side; a figure has no more pixels than that for a panel
_SUFFIXES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps")


def plot_field(
    field: xr.DataArray,
    *,
    ax: "Axes | None" = None,
    cmap: "str | Colormap | None" = None,
    limits: tuple[float, float] | None = None,
    coast: bool = True,
    domain: xr.DataArray | None = None,
) -> "Axes":
    """Draw one map of a field, with its colour bar, units, date and coastline; or an image in its colours.

    Parameters
    ----------
    field : DataArray, shape (y, x), or (band, y, x) of red, green and blue
        NaN where unseen. Longitudes in [-180, 180] or [0, 360], latitudes in either order; where the field
        has neither, plain axes are drawn. Larger maps than 1200 cells along a side are thinned.
    ax : Axes, optional
        Where to draw, a cartopy map or plain axes; a new figure where None.
    cmap : str or Colormap, optional
        By default thermal colours for temperatures, a diverging map for anomalies, grey for images, viridis
        otherwise.
    limits : (float, float), optional
        Colour range in the unit of the field; by default the 2nd and 98th percentiles, of images the range that
        they say.
    coast : bool
        Draw the coastline where the field has longitudes and latitudes.
    domain : DataArray of bool, shape (y, x), optional
        True where the quantity exists; cells outside it are painted as land and only those inside as gaps.

    Returns
    -------
    ax : Axes
        Its figure is the caller's to close.

    Raises
    ------
    InputError
        Where the field is no single map, or ``limits`` are not increasing.

    Examples
    --------
    >>> from geogan.synthetic import synthetic_sst
    >>> import matplotlib.pyplot as plt
    >>> ax = plot_field(synthetic_sst(days=1, size=24)["sst"].isel(time=0))
    >>> ax.get_title()
    '2015-01-01'
    >>> plt.close(ax.figure)
    """
    grid = _grid(field)
    if limits is None:
        limits = _limits([field])
    elif not limits[0] < limits[1]:
        raise InputError(f"limits must increase, got {limits}; give the smaller value first")
    if ax is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=_figure_size(grid, 1), layout="compressed")
        ax = figure.add_subplot(projection=_projection(grid))
    inside = None if domain is None else _map_values(domain, grid, "domain").astype(bool)
    mesh = _draw(ax, grid, _map_values(field, grid), inside, cmap or _colours(field), limits, coast)
    ax.set_title(_date(field))
    if mesh is None:
        return ax
    values = np.asarray(field.values, dtype="float64")
    wide = np.ptp(grid.x_edges) > 1.3 * np.ptp(grid.y_edges) and ax.get_aspect() != "auto"
    ax.figure.colorbar(
        mesh,
        ax=ax,
        location="bottom" if wide else "right",
        label=_label(field),
        extend=_extend([values], limits),
        shrink=0.85,
    )
    return ax


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
    >>> from geogan.synthetic import synthetic_sst
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
    observed, filled, *others = _one_date(observed, filled, truth, source, std, date)
    truth, source, std = (None if part is None else select_band(part, band, like=filled) for part in others)
    observed, filled = select_band(observed, band, like=filled), select_band(filled, band)
    grid = _grid(filled)
    seen, full = _map_values(observed, grid, "observed"), _map_values(filled, grid)
    true = None if truth is None else _map_values(truth, grid, "truth")
    for name, other in (("observed", observed), ("truth", truth)):
        units = "" if other is None else str(other.attrs.get("units", ""))
        if units and _units(filled) and _units(other) != _units(filled):
            raise InputError(f"{name} is in {units} and filled in {filled.attrs['units']}; convert one of them first")

    flags = None if source is None or true is not None else _map_values(source, grid, "source")
    domain = _anywhere(np.isfinite(full) | np.isfinite(seen))
    if true is not None:
        domain |= _anywhere(np.isfinite(true))
    if flags is not None:
        # A cell of which one colour was filled is filled.
        flags = flags.max(-1) if flags.ndim == 3 else flags
        names = _flag_names(source)
        # A refused cell is sea without an answer, not land.
        domain |= np.isin(flags, [value for value, name in names.items() if name != "land"])
    limits = _limits([observed, filled])
    colours = _colours(filled)

    spread = None if std is None or true is not None else _map_values(std, grid, "std")
    panels = 2 if true is None and flags is None and spread is None else 3
    # The layout does not see titles of map axes: the one of the figure gets room of its own.
    figure = plt.figure(figsize=_figure_size(grid, panels), layout=ConstrainedLayoutEngine(rect=(0, 0, 1, 0.97)))
    axes = [figure.add_subplot(1, panels, i + 1, projection=_projection(grid)) for i in range(panels)]
    for i, (ax, values, title) in enumerate(zip(axes, (seen, full), ("observed", "filled"))):
        mesh = _draw(ax, grid, values, domain, colours, limits, True, row_labels=i == 0)
        ax.set_title(title)
    if mesh is not None:
        figure.colorbar(
            mesh,
            ax=axes[:2],
            location="bottom",
            shrink=0.6,
            label=_label(filled),
            extend=_extend([seen, full], limits),
        )
    if true is not None:
        difference = full - true
        hidden = np.isfinite(difference) & ~np.isfinite(seen)
        panel = np.sqrt(np.mean(difference**2, -1)) if difference.ndim == 3 else difference
        size = float(np.nanpercentile(np.abs(panel), 98)) if np.isfinite(panel).any() else 1.0
        size = size if size > 0 else 1.0
        span = (0.0, size) if difference.ndim == 3 else (-size, size)
        shades = "magma" if difference.ndim == 3 else _diverging()
        shown = _draw(axes[2], grid, panel, domain, shades, span, True, row_labels=False)
        title = "filled − truth"
        if hidden.any():
            error = f"{np.sqrt(np.mean(difference[hidden] ** 2)):.2g} {_units(filled)}".strip()
            title += f": RMSE {error} in the gaps"
        axes[2].set_title(title)
        figure.colorbar(
            shown,
            ax=axes[2],
            location="bottom",
            shrink=0.9,
            label=" ".join(
                [
                    "difference" if difference.ndim == 2 else "difference, root mean square of the bands",
                    f"[{_units(filled)}]" if _units(filled) else "",
                ]
            ).strip(),
            extend=_extend([panel], span),
        )
    elif spread is not None:
        # What was observed is as pale as what is certain; of colours, the root mean square.
        panel = np.sqrt(np.mean(spread**2, -1)) if spread.ndim == 3 else spread
        panel = np.where(np.isfinite(panel), panel, np.where(_anywhere(np.isfinite(seen)), 0.0, np.nan))
        size = float(np.nanpercentile(panel, 98)) if np.isfinite(panel).any() else 1.0
        span = (0.0, size if size > 0 else 1.0)
        shown = _draw(axes[2], grid, panel, domain, "YlOrRd", span, True, row_labels=False)
        axes[2].set_title("predicted error")
        figure.colorbar(
            shown,
            ax=axes[2],
            location="bottom",
            shrink=0.9,
            label=" ".join(["standard deviation", f"[{_units(filled)}]" if _units(filled) else ""]).strip(),
            extend=_extend([panel], span),
        )
    elif flags is not None:
        _draw_flags(axes[2], grid, flags, names)
        axes[2].set_title("source")

    patches = [Patch(facecolor=grid.gap, edgecolor="0.6", label="not observed")]
    if not domain.all():
        patches.append(Patch(facecolor=_LAND, edgecolor="0.6", label=_outside(filled)))
    figure.legend(handles=patches, loc="outside lower left", ncols=2, frameon=False, fontsize="small")
    figure.suptitle(", ".join(part for part in (_name(filled), _date(observed) or _date(filled)) if part))
    if target is not None:
        figure.savefig(target, dpi=150)
    return figure


def plot_training(metrics: Sequence[dict[str, Any]], path: str | Path, *, units: str = "") -> Path:
    """Draw the losses of a training and its error on the withheld cells.

    Parameters
    ----------
    metrics : sequence of dict
        One record a report, with ``step`` and any of ``loss_prior``, ``loss_likelihood``, ``loss_withheld``
        and ``withheld_rmse``; missing and None values are skipped.
    path : str or Path
        Where to save the figure: PNG, PDF, SVG.
    units : str
        Of the error.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        Where no record has a step with a value, or the path cannot be written as a figure.

    Examples
    --------
    >>> import tempfile
    >>> records = [{"step": 1, "loss_prior": 0.7}, {"step": 9, "loss_prior": 0.6}]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_training(records, f"{folder}/training.png").name
    'training.png'
    """
    # Not through pyplot: nothing is left open for the caller of a loop to close.
    from matplotlib.figure import Figure

    target = figure_path(path)
    losses = _curves(
        metrics,
        {"loss_prior": "prior", "loss_likelihood": "likelihood", "loss_withheld": "withheld"},
    )
    errors = _curves(metrics, {"withheld_rmse": "withheld RMSE"})
    if not losses and not errors:
        raise InputError(
            "metrics must hold records with a step and a loss or a withheld_rmse, got none of them; "
            "draw after the first report"
        )
    error = "withheld RMSE" + (f" [{units}]" if units else "")
    groups = [(curves, title) for curves, title in ((losses, "loss"), (errors, error)) if curves]
    figure = Figure(figsize=(4.6 * len(groups), 3.2), layout="constrained")
    for i, (curves, title) in enumerate(groups):
        ax = figure.add_subplot(1, len(groups), i + 1)
        for name, (steps, values) in curves.items():
            ax.plot(steps, values, label=name, linewidth=1.4, marker="o" if len(steps) < 30 else "", ms=3)
        ax.set_xlabel("step")
        ax.set_ylabel(title)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        if len(curves) > 1:
            ax.legend(frameon=False)
    figure.savefig(target, dpi=150)
    return target


def select_date(field: xr.DataArray, date: str | float | np.datetime64 | None = None) -> xr.DataArray:
    """One map of a field, or one sample.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        NaN where unseen.
    date : str, float or datetime64, optional
        The map nearest to it; of samples the number, counted from 0; by default, of up to twenty, the one that is
        nearest to half observed.

    Returns
    -------
    field : DataArray, shape ([band,] y, x)

    Raises
    ------
    InputError
        If the date is none, lies outside the record, or is asked of a field without time.

    Examples
    --------
    >>> from geogan.synthetic import synthetic_sst
    >>> select_date(synthetic_sst(days=4, size=24)["sst"], "2015-01-03").time.dt.day.item()
    3
    """
    from geogan.coordinates import find_axes

    axes = find_axes(field)
    if axes.time is None:
        if date is not None:
            raise InputError(f"date {date} cannot be selected: the field is a single map; leave date out")
        return field
    return _entry(field, axes, _half_observed(field, field) if date is None else _nearest(field, axes, date))


def select_band(
    field: xr.DataArray, band: str | int | None = None, *, like: xr.DataArray | None = None
) -> xr.DataArray:
    """One band of a field; itself where it has none.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
    band : str or int, optional
        Name of the band, or its number, counted from 0. By default all three of red, green and blue, or the first
        of other bands.
    like : DataArray, optional
        The field whose bands these are, where this one does not say their names itself.

    Returns
    -------
    field : DataArray, shape ([time,] y, x), or ([time,] band, y, x) of red, green and blue

    Raises
    ------
    InputError
        If there is no such band.

    Examples
    --------
    >>> optics = xr.DataArray(np.zeros((2, 3, 4)), dims=("band", "y", "x"), coords={"band": ["red", "nir"]})
    >>> select_band(optics, "nir").band.item(), select_band(optics).band.item()
    ('nir', 'red')
    """
    from geogan.coordinates import band_names, find_axes

    axes = find_axes(field)
    if axes.band is None:
        if band is not None:
            raise InputError(f"band {band} cannot be selected: the field has no bands; leave band out")
        return field
    if band is None and _in_colours(field if like is None else like):
        return field
    band = 0 if band is None else band
    names, count = band_names(field, axes), field.sizes[axes.band]
    index = names.index(str(band)) if str(band) in names else int(band) if str(band).isdecimal() else count
    if index < count:
        titled = {"long_name": f"{_name(field)}, {names[index]}"} if names else {}
        return field.isel({axes.band: index}).assign_attrs(titled)
    known = f"{', '.join(names)}, or " if names else ""
    raise InputError(f"band must be {known}a number from 0 to {count - 1}, got {band!r}; choose one of them")


def _in_colours(field: xr.DataArray) -> bool:
    """Whether the bands are red, green and blue: by their names, or because it is an image of three."""
    from geogan.coordinates import band_names, find_axes

    axes = find_axes(field)
    if axes.band is None or field.sizes[axes.band] != 3:
        return False
    names = tuple(name.lower() for name in band_names(field, axes))
    return names in (("red", "green", "blue"), ("r", "g", "b")) or _is_image(field) or axes.band.lower() == "rgb"


def _is_image(field: xr.DataArray) -> bool:
    return field.attrs.get("valid_min") == -1 and field.attrs.get("valid_max") == 1


def _entry(field: xr.DataArray, axes: "Axes_", index: int) -> xr.DataArray:
    """One map, that of a sample with its number."""
    chosen = field.isel({axes.time: index})
    numbered = axes.independent and axes.time not in chosen.coords
    return chosen.assign_coords({axes.time: index}) if numbered else chosen


def observed_part(filled: xr.DataArray, source: xr.DataArray) -> xr.DataArray:
    """What of a filled product was observed.

    Parameters
    ----------
    filled : DataArray, shape ([time,] y, x)
    source : DataArray of int, same shape
        CF flags of each cell (``flag_values``, ``flag_meanings``), one of which means ``observed``.

    Returns
    -------
    observed : DataArray, shape ([time,] y, x)
        NaN where the product was filled; lazy where it is.

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
    for value, meaning in _flag_names(source).items():
        if meaning == "observed":
            return filled.where(source == value)
    raise InputError(
        f"flag_meanings of {source.name} must name observed, got {source.attrs['flag_meanings']!r}; pass the "
        "gappy field as observed"
    )


def figure_path(path: str | Path, *, overwrite: bool = True) -> Path:
    """Whether a figure may be written there; nothing is touched.

    Parameters
    ----------
    path : str or Path
    overwrite : bool
        Whether a file of that name may be replaced.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If its ending is none of a figure, its folder does not exist, it is a folder itself, or it exists
        while ``overwrite`` is False.

    Examples
    --------
    >>> figure_path("map.txt")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: path must end in .png, .pdf or .svg, got 'map.txt'; add one of them
    """
    target = Path(path)
    if target.suffix.lower() not in _SUFFIXES:
        raise InputError(f"path must end in .png, .pdf or .svg, got {str(path)!r}; add one of them")
    if not target.parent.is_dir():
        raise InputError(f"the folder of {str(path)!r} does not exist; make it first")
    if target.is_dir():
        raise InputError(f"{str(path)!r} is a folder, where a figure should go; give another name")
    if target.exists() and not overwrite:
        raise InputError(f"{str(path)!r} exists; give another name, or overwrite it with --overwrite")
    return target


class _Grid(NamedTuple):
    """Edges of the cells as they are drawn.

    ``centre`` is the longitude at x = 0, None where there are no longitudes; ``first`` is the coordinate of
    the first column as the field has it. Of an image the first row is on top, and ``gap`` another colour.
    """

    y: str
    x: str
    y_edges: np.ndarray
    x_edges: np.ndarray
    centre: float | None
    y_label: str
    x_label: str
    same_units: bool
    first: float
    band: str | None = None
    image: bool = False
    gap: str = _GAP


def _grid(field: xr.DataArray) -> _Grid:
    from geogan.coordinates import find_axes, has_lonlat

    axes = find_axes(field) if field.ndim in (2, 3) else None
    if axes is None or (field.ndim == 3 and (axes.band is None or field.sizes[axes.band] != 3)):
        raise InputError(f"a single map (y, x) is expected, got the dimensions {field.dims}; select one date first")
    if axes.time is not None:
        raise InputError(
            f"a map (y, x) is expected, got {field.dims}, where {axes.time!r} is time; select one date first"
        )
    y, y_label, y_units = _positions(field, axes.y)
    x, x_label, x_units = _positions(field, axes.x)
    centre = None
    if has_lonlat(field, axes):
        y_edges, x_edges = np.clip(_edges(y), -90, 90), _edges(np.unwrap(x, period=360))
        x_edges = x_edges - 360 * np.round((x_edges.min() + x_edges.max()) / 720)
        low, high = x_edges.min(), x_edges.max()
        # Centred on Greenwich unless the field would be cut there at 180°.
        centre = 0.0 if low >= -180 - 1e-6 and high <= 180 + 1e-6 else float((low + high) / 2)
        x_edges = x_edges - centre
    else:
        y_edges, x_edges = _edges(y), _edges(x)
    image = _is_image(field) and axes.y not in field.coords
    gap = _GAP_OF_IMAGES if image and axes.band is None else _GAP
    same_units = y_units == x_units
    return _Grid(
        axes.y, axes.x, y_edges, x_edges, centre, y_label, x_label, same_units, float(x[0]), axes.band, image, gap
    )


def _positions(field: xr.DataArray, dim: str) -> tuple[np.ndarray, str, str]:
    """Positions along a dimension: its coordinate where that is monotonic numbers, else the index."""
    along = [c for c in field.coords.values() if c.dims == (dim,) and np.issubdtype(c.dtype, np.number)]
    for coordinate in sorted(along, key=lambda c: c.name != dim):
        values = coordinate.values.astype("float64")
        steps = np.diff(np.unwrap(values, period=360) if np.ptp(values) <= 360 else values)
        if np.isfinite(values).all() and ((steps > 0).all() or (steps < 0).all()):
            units = str(coordinate.attrs.get("units", ""))
            return values, f"{coordinate.name} [{units}]" if units else str(coordinate.name), units
    return np.arange(field.sizes[dim], dtype="float64"), dim, ""


def _edges(centres: np.ndarray) -> np.ndarray:
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _map_values(field: xr.DataArray, grid: _Grid, name: str = "field") -> np.ndarray:
    """Values as float64 in the order (y, x), or (y, x, band) of three colours, on this grid and no other."""
    colours = [grid.band] if grid.band in field.dims and grid.band else []
    if set(field.dims) != {grid.y, grid.x, *colours}:
        raise InputError(f"{name} must have the dimensions ({grid.y}, {grid.x}), got {field.dims}; rename them")
    values = np.asarray(field.transpose(grid.y, grid.x, *colours).values, dtype="float64")
    expected = (grid.y_edges.size - 1, grid.x_edges.size - 1)
    here = _grid(field)
    if values.shape[:2] != expected or not (
        np.allclose(here.y_edges, grid.y_edges) and np.allclose(here.x_edges, grid.x_edges)
    ):
        raise InputError(
            f"{name} must be on the grid of the others, {expected} cells, got {values.shape} or other "
            "coordinates; interpolate it to that grid first"
        )
    return values


def _projection(grid: _Grid) -> Any:
    if grid.centre is None:
        return None
    from cartopy import crs

    return crs.PlateCarree(central_longitude=grid.centre)


def _figure_size(grid: _Grid, panels: int) -> tuple[float, float]:
    aspect = 1.0
    if grid.centre is not None or grid.same_units:
        aspect = abs(float(np.ptp(grid.y_edges) / np.ptp(grid.x_edges)))
    width = 4.4 if panels > 1 else 6.4
    if panels == 1 and 1.3 * aspect >= 1:
        # The colour bar stands beside the map, which is that much narrower.
        return width, float(np.clip((width - 1.5) * aspect, 1.8, 9.0)) + 0.8
    return width * panels, float(np.clip(width * aspect, 1.8, 9.0)) + 1.3


def _draw(
    ax: Any,
    grid: _Grid,
    values: np.ndarray,
    domain: np.ndarray | None,
    colours: "str | Colormap",
    limits: tuple[float, float],
    coast: bool,
    *,
    row_labels: bool = True,
) -> Any:
    """Paint a map: background, land, gaps, values, coastline, in this order; colours need no colour bar: None."""
    from matplotlib.colors import ListedColormap

    if grid.centre is not None and not hasattr(ax, "projection"):
        # Plain axes are the caller's: the field's own longitudes, so that stations can be drawn on top.
        shift = grid.first - (grid.x_edges[0] + grid.x_edges[1]) / 2
        grid = grid._replace(x_edges=grid.x_edges + shift, centre=0.0)
    ax.set_facecolor(grid.gap)
    if domain is not None:
        _mesh(ax, grid, np.where(domain, 0.0, 1.0), ListedColormap([grid.gap, _LAND]), (0, 1))
    mesh = _mesh(ax, grid, values, colours, limits)
    if values.ndim == 3:
        mesh, values = None, values.max(-1)
    # Polygons would hide the gaps of a field that lives on land.
    _frame(ax, grid, coast, fill=domain is None and not _lives_on_land(grid, values), row_labels=row_labels)
    return mesh


def _mesh(ax: Any, grid: _Grid, values: np.ndarray, colours: Any, limits: tuple[float, float]) -> Any:
    stride_y, stride_x = (-(-size // _LARGEST) for size in values.shape[:2])
    y_edges = np.append(grid.y_edges[:-1][::stride_y], grid.y_edges[-1])
    x_edges = np.append(grid.x_edges[:-1][::stride_x], grid.x_edges[-1])
    values = values[::stride_y, ::stride_x]
    return ax.pcolormesh(
        x_edges,
        y_edges,
        _painted(values, limits) if values.ndim == 3 else np.ma.masked_invalid(values),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        rasterized=True,
        zorder=1,
        **_placed(ax, grid),
    )


def _painted(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Colours (y, x, 4) of the three bands; clear where none is seen, and one that is not seen like the gaps."""
    from matplotlib.colors import to_rgb

    seen = np.isfinite(values)
    shade = np.clip((np.where(seen, values, 0.0) - limits[0]) / (limits[1] - limits[0]), 0, 1)
    return np.concatenate([np.where(seen, shade, to_rgb(_GAP)), seen.any(-1, keepdims=True)], -1)


def _anywhere(where: np.ndarray) -> np.ndarray:
    return np.any(where, axis=-1) if where.ndim == 3 else where


def _placed(ax: Any, grid: _Grid) -> dict[str, Any]:
    """The coordinate system for cartopy's axes; plain axes take the numbers as they are."""
    return {"transform": _projection(grid)} if hasattr(ax, "projection") and grid.centre is not None else {}


def _lives_on_land(grid: _Grid, values: np.ndarray) -> bool:
    if grid.centre is None:
        return False
    import shapely

    rows, columns = np.nonzero(np.isfinite(values))
    pick = slice(None, None, max(1, rows.size // 300))
    latitude = (grid.y_edges[:-1] + grid.y_edges[1:])[rows[pick]] / 2
    longitude = (grid.x_edges[:-1] + grid.x_edges[1:])[columns[pick]] / 2 + grid.centre
    inside = shapely.contains_xy(land("110m"), (longitude + 180) % 360 - 180, latitude)
    return bool(inside.size and inside.mean() > 0.5)


def _frame(ax: Any, grid: _Grid, coast: bool, *, fill: bool, row_labels: bool) -> None:
    """Coastline, extent, and labels along the sides."""
    y_span, x_span = (sorted((edges[0], edges[-1])) for edges in (grid.y_edges, grid.x_edges))
    if coast and grid.centre is not None:
        _draw_coast(ax, grid, x_span, y_span, fill)
    if hasattr(ax, "projection") and ax.projection != _projection(grid):
        return  # another projection is the caller's choice, and so are its extent and labels
    ax.set_xlim(x_span)
    ax.set_ylim(y_span[::-1] if grid.image else y_span)
    if grid.image:
        ax.set(xticks=[], yticks=[], aspect="equal")
        return
    if hasattr(ax, "projection") and grid.centre is not None:
        from matplotlib.ticker import FixedLocator, MaxNLocator

        lines = ax.gridlines(draw_labels={"bottom": "x"} | ({"left": "y"} if row_labels else {}), alpha=0.25)
        lines.xlabel_style = lines.ylabel_style = {"size": "small"}
        # Placed by hand: across the antimeridian cartopy's own choice spans the whole globe.
        steps = [1, 1.5, 2, 3, 4.5, 6, 9, 10] if x_span[1] - x_span[0] > 60 else [1, 2, 2.5, 5, 10]
        low, high = x_span[0] + grid.centre, x_span[1] + grid.centre
        ticks = np.asarray(MaxNLocator(nbins=5, steps=steps).tick_values(low, high))
        ticks = ticks[(ticks >= low - 1e-9) & (ticks <= high + 1e-9)]
        lines.xlocator = FixedLocator(np.unique((ticks + 180) % 360 - 180).tolist())
        return
    ax.set_xlabel(grid.x_label)
    if row_labels:
        ax.set_ylabel(grid.y_label)
    if grid.centre is not None or grid.same_units:
        ax.set_aspect("equal")


def _draw_coast(ax: Any, grid: _Grid, x_span: Sequence[float], y_span: Sequence[float], fill: bool) -> None:
    import shapely
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.path import Path as Outline

    assert grid.centre is not None
    resolution: Literal["110m", "50m"] = "50m" if x_span[1] - x_span[0] <= 60 else "110m"
    placed = _placed(ax, grid)
    if placed:
        placed = {"transform": placed["transform"]._as_mpl_transform(ax)}
    turns = [360 * turn - grid.centre for turn in (-1, 0, 1)]
    lines = [line + [turn, 0] for turn in turns for line in coastlines(resolution)]
    lines = [
        line
        for line in lines
        if line[:, 0].max() >= x_span[0]
        and line[:, 0].min() <= x_span[1]
        and line[:, 1].max() >= y_span[0]
        and line[:, 1].min() <= y_span[1]
    ]
    ax.add_collection(LineCollection(lines, colors=_COAST, linewidths=0.7, zorder=3, **placed), autolim=False)
    if not fill:
        return
    outlines = []
    for turn in turns:
        near = shapely.clip_by_rect(land(resolution), x_span[0] - turn, y_span[0], x_span[1] - turn, y_span[1])
        for polygon in shapely.get_parts(shapely.transform(near, lambda points, by=turn: points + [by, 0])):
            if isinstance(polygon, shapely.Polygon):
                polygon = shapely.orient_polygons(polygon)
                rings = [Outline(np.asarray(r.coords), closed=True) for r in (polygon.exterior, *polygon.interiors)]
                outlines.append(Outline.make_compound_path(*rings))
    ax.add_collection(
        PathCollection(outlines, facecolors=_LAND, edgecolors="none", zorder=0.5, **placed), autolim=False
    )


def _draw_flags(ax: Any, grid: _Grid, flags: np.ndarray, names: dict[int, str]) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    spare = iter(("#7aa874", "#8d7fb8", "#c98b6b", "#5fa6a6", "#c5719e", "#8a8a8a"))
    colours = {value: _SOURCE_COLOURS.get(name) or next(spare, "#555555") for value, name in names.items()}
    index = np.full(flags.shape, np.nan)
    for i, value in enumerate(names):
        index[flags == value] = i
    ax.set_facecolor(grid.gap)
    _mesh(ax, grid, index, ListedColormap(list(colours.values())), (-0.5, len(colours) - 0.5))
    _frame(ax, grid, True, fill=False, row_labels=False)
    present = [value for value in names if (flags == value).any()]
    ax.legend(
        handles=[Patch(facecolor=colours[value], label=names[value].replace("_", " ")) for value in present],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02 if grid.image else -0.12),
        ncols=2,
        frameon=False,
        fontsize="small",
    )


def _flag_names(source: xr.DataArray | None) -> dict[int, str]:
    assert source is not None
    meanings = str(source.attrs.get("flag_meanings", "")).split()
    values = np.atleast_1d(source.attrs.get("flag_values", []))
    if not meanings or len(meanings) != len(values):
        raise InputError(
            f"source must name its flags in flag_values and flag_meanings, got {len(values)} and "
            f"{len(meanings)} of them; pass the sst_source of a filled product"
        )
    return {int(value): meaning for value, meaning in zip(values, meanings)}


def _one_date(
    observed: xr.DataArray,
    filled: xr.DataArray,
    truth: xr.DataArray | None,
    source: xr.DataArray | None,
    std: xr.DataArray | None,
    date: str | float | np.datetime64 | None,
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray | None, xr.DataArray | None, xr.DataArray | None]:
    """One map of each, all of the same date."""
    from geogan.coordinates import find_axes

    axes = find_axes(filled)
    if axes.time is None:
        if date is not None:
            raise InputError(f"date {date} cannot be selected: filled is a single map; leave date out")
        wanted: Any = None
    elif date is not None:
        wanted = filled[axes.time].values[_nearest(filled, axes, date)]
    else:
        same = axes.time in observed.dims and observed.sizes[axes.time] == filled.sizes[axes.time]
        chosen = _half_observed(observed, filled) if same else 0
        wanted = filled[axes.time].values[chosen]

    def select(field: xr.DataArray | None, name: str) -> xr.DataArray | None:
        if field is None:
            return None
        own = find_axes(field)
        time = own.time
        if time is None:
            return field
        if wanted is None:
            if field.sizes[time] == 1:
                return field.isel({time: 0})
            raise InputError(f"{name} has many dates and filled has none; select one date of {name} first")
        where = np.flatnonzero(field[time].values == wanted)
        if not where.size:
            raise InputError(f"{name} has no map of {_written(wanted)}, which filled has; select common dates")
        return _entry(field, own, int(where[0]))

    seen, full = select(observed, "observed"), select(filled, "filled")
    assert seen is not None and full is not None
    return seen, full, select(truth, "truth"), select(source, "source"), select(std, "std")


def _half_observed(observed: xr.DataArray, filled: xr.DataArray) -> int:
    """Index of the map, of up to twenty, that is nearest to half observed."""
    from geogan.coordinates import find_axes

    axes = find_axes(filled)
    candidates = np.unique(np.linspace(0, filled.sizes[axes.time] - 1, 20).round().astype(int))
    counts = observed.isel({axes.time: candidates}).notnull().sum([d for d in filled.dims if d != axes.time]).values
    if filled is observed:
        ever = max(int(counts.max()), 1)
    else:
        ever = max(int(filled.isel({axes.time: int(candidates[0])}).notnull().sum()), 1)
    return int(candidates[np.argmin(np.abs(counts / ever - 0.5))])


def _nearest(field: xr.DataArray, axes: "Axes_", date: str | float | np.datetime64) -> int:
    """Index of the map nearest to a date that lies within the record, give or take a step; a sample's number."""
    times = field[axes.time].values
    if axes.independent:
        if str(date).isdecimal() and int(str(date)) < len(times):
            return int(str(date))
        raise InputError(
            f"date must be the number of a sample, 0 to {len(times) - 1}, got {date!r}; choose one of them"
        )
    try:
        if np.issubdtype(times.dtype, np.datetime64):
            apart = np.abs((times - np.datetime64(date)) / np.timedelta64(1, "D"))  # type: ignore[arg-type]
        elif times.dtype == object:
            year, month, day = (int(part) for part in str(date)[:10].split("-"))
            wanted = type(times[0])(year, month, day)
            apart = np.array([abs((t - wanted).total_seconds()) / 86400 for t in times])
        else:
            apart = np.abs(times - float(date))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"date must be one of the record's, {_written(times[0])} to {_written(times[-1])}, got {date!r}; "
            "write it as 2015-01-31"
        ) from error
    index = int(np.argmin(apart))
    order = np.sort(times)
    if times.size > 1:
        step = np.max(np.diff(order))
        step = step.total_seconds() / 86400 if hasattr(step, "total_seconds") else step
        step = step / np.timedelta64(1, "D") if isinstance(step, np.timedelta64) else step
    else:
        step = 1.0
    if not apart[index] <= float(step):
        raise InputError(
            f"date must lie within {_written(order[0])} to {_written(order[-1])}, got {date}; choose another"
        )
    return index


def _curves(metrics: Sequence[dict[str, Any]], names: dict[str, str]) -> dict[str, tuple[list[float], list[float]]]:
    curves = {}
    for key, label in names.items():
        points = [(m["step"], m[key]) for m in metrics if m.get(key) is not None and m.get("step") is not None]
        if points:
            curves[label] = ([float(step) for step, _ in points], [float(value) for _, value in points])
    return curves


def _limits(fields: list[xr.DataArray]) -> tuple[float, float]:
    if _is_image(fields[-1]):
        return (-1.0, 1.0)
    return _robust_limits(fields, _is_anomaly(fields[-1]))


def _robust_limits(fields: list[xr.DataArray], symmetric: bool) -> tuple[float, float]:
    values = np.concatenate([np.asarray(f.values, dtype="float64").ravel() for f in fields])
    values = values[np.isfinite(values)]
    if not values.size:
        return (0.0, 1.0)
    low, high = (float(v) for v in np.percentile(values, [2, 98]))
    if symmetric:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _extend(values: list[np.ndarray], limits: tuple[float, float]) -> str:
    seen = [v[np.isfinite(v)] for v in values]
    below = any((v < limits[0]).any() for v in seen)
    above = any((v > limits[1]).any() for v in seen)
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]


def _words(field: xr.DataArray) -> str:
    named = (field.name, field.attrs.get("standard_name"), field.attrs.get("long_name"))
    return " ".join(str(word).lower() for word in named if word)


def _is_anomaly(field: xr.DataArray) -> bool:
    return any(word in _words(field) for word in ("anomaly", "anomalies", "difference"))


def _colours(field: xr.DataArray) -> "str | Colormap":
    if _is_image(field):
        return "gray"
    if _is_anomaly(field):
        return _diverging()
    if "temperature" in _words(field) or _units(field) in ("°C", "K"):
        try:
            import cmocean
        except ImportError:
            return "inferno"
        return cmocean.cm.thermal
    return "viridis"


def _diverging() -> "str | Colormap":
    try:
        import cmocean
    except ImportError:
        return "RdBu_r"
    return cmocean.cm.balance


def _units(field: xr.DataArray | None) -> str:
    units = "" if field is None else str(field.attrs.get("units", "")).strip()
    if units in ("1", ""):
        return ""
    return _UNITS.get(units.lower().replace(" ", "_"), units)


def _name(field: xr.DataArray) -> str:
    for name in (field.attrs.get("long_name"), field.attrs.get("standard_name"), field.name):
        if name:
            return str(name).replace("_", " ")
    return ""


def _label(field: xr.DataArray) -> str:
    units = _units(field)
    return " ".join(part for part in (_name(field), f"[{units}]" if units else "") if part)


def _outside(field: xr.DataArray) -> str:
    marine = any(word in _words(field) for word in ("sea", "sst", "ocean", "chlor"))
    return "land" if marine else "outside the domain"


def _date(field: xr.DataArray) -> str:
    for coordinate in field.coords.values():
        dated = np.issubdtype(coordinate.dtype, np.datetime64) or hasattr(coordinate.values[()], "calendar")
        if coordinate.ndim == 0 and dated:
            return _written(coordinate.values[()])
    sample = next((field.coords[name] for name in ("sample", "image", "n") if name in field.coords), None)
    return f"{sample.name} {sample.item()}" if sample is not None and sample.ndim == 0 else ""


def _written(time: Any) -> str:
    if isinstance(time, np.datetime64):
        text = str(time.astype("M8[m]"))
    else:
        text = time.strftime("%Y-%m-%dT%H:%M") if hasattr(time, "strftime") else str(time)
    return text.removesuffix("T00:00").replace("T", " ")
