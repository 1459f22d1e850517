"""``geogan plot``: draw a filled product, a field, or the curves of a training."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from geogan.compute.streaming import explain_read_errors
from geogan.fields.domains import named_domain
from geogan.fields.field import Field
from geogan.fields.selection import select_band, select_date
from geogan.fields.source_flags import observed_part
from geogan.fields.variables import is_joined, split_variables
from geogan.files.metrics import error_units, read_metrics
from geogan.files.places import check_apart
from geogan.files.run_folder import is_run
from geogan.files.user_path import Data, user_path
from geogan.io import Reading, find_domain, open_source, variable_names
from geogan.operators.errors import InputError
from geogan.plotting import (
    MapStyle,
    figure_path,
    plot_field,
    plot_hovmoller,
    plot_members,
    plot_reconstruction,
    plot_training,
)

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class PlotOptions:
    """What ``geogan plot`` draws of its data; each attribute is an option of the command line.

    Attributes
    ----------
    variable : str or None
        Variable to draw; needed if the data hold several measured variables.
    date : str or None
        The nearest date is drawn; for samples, their number. None: a date that is about half observed.
    band : str, int or None
        Name or number of the band; None: red, green and blue together, or the first of other bands.
    truth : str, Path or None
        Field of the same grid and unit; the figure shows the filled field minus this one.
    observed : str, Path or None
        Gappy field of the same grid and unit; None: the cells that a product marks as observed.
    domain : str or None
        Domain of a single map, as in `geogan.io.find_domain`.
    group, where : str or None
        How the data are read, as in `geogan.io.open_field`.
    dims : str, mapping or None
        As in `geogan.io.open_field`.
    panels : tuple of str or None
        Maps of a product, as in `geogan.plot_reconstruction`.
    members : int or None
        Number of members to draw, beside the estimate and the spread of all members.
    hovmoller : str or None
        Side of the grid (longitude, latitude, x, y) against which all dates are drawn.
    style : MapStyle
        Projection, colours and resolution.
    """

    variable: str | None = None
    date: str | None = None
    band: str | int | None = None
    truth: str | Path | None = None
    observed: str | Path | None = None
    domain: str | None = None
    group: str | None = None
    dims: str | Mapping[str, str] | None = None
    where: str | None = None
    panels: tuple[str, ...] | None = None
    members: int | None = None
    hovmoller: str | None = None
    style: MapStyle = MapStyle()


def plot(
    data: Data,
    out: str | Path,
    options: PlotOptions = PlotOptions(),
    *,
    overwrite: bool = False,
    console: "Console | None" = None,
) -> Path:
    """Draw ``data`` as a figure.

    A filled product is drawn as observed field, filled field, and predicted error or source; with ``truth``, the
    third map is filled minus truth. A field alone is one map. A run is drawn as training curves. ``members`` and
    ``hovmoller`` draw members with their spread, and all dates against one side of the grid.

    Parameters
    ----------
    data : str, Path or a sequence of them
        Product, field, or folder of a run.
    out : str or Path
        File to write: ``.png``, ``.pdf`` or ``.svg``. An existing file is replaced as a whole or stays as it is.
    options : PlotOptions
    overwrite : bool
        Replace an existing figure.
    console : Console, optional
        Console that shows how the data were read.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the data cannot be read or drawn, or the figure cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     synthetic_sst(days=2, size=24).to_netcdf(f"{folder}/sea.nc")
    ...     plot(f"{folder}/sea.nc", f"{folder}/sea.png", PlotOptions(date="2015-01-02")).name
    'sea.png'
    """
    paths = [data] if isinstance(data, str | Path) else list(data)
    check_apart(out, {"--data": paths, "--truth": options.truth, "--observed": options.observed}, what="the figure")
    out = figure_path(out, overwrite=overwrite)
    with _new_figures_closed():
        if len(paths) == 1 and is_run(paths[0]):
            _plot_run(user_path(paths[0]), out, options)
        else:
            notes = _plot_data(paths, out, options)
            if console is not None:
                console.print(*notes, sep="\n", end="\n" if notes else "", markup=False, highlight=False)
    return out


def _plot_run(run: Path, out: Path, options: PlotOptions) -> None:
    """Draw the training curves of a run, for which no option but the resolution counts."""
    for option in fields(options):
        if option.name != "style" and getattr(options, option.name) is not None:
            raise InputError(f"{run} is a run, whose curves have no {option.name}; leave {option.name} out")
    if options.style != MapStyle(dpi=options.style.dpi):
        raise InputError(f"{run} is a run, whose curves have no map; leave projection, limits and colours out")
    plot_training(read_metrics(run), out, units=error_units(run), dpi=options.style.dpi)


def _plot_data(data: Sequence[str | Path], out: Path, options: PlotOptions) -> tuple[str, ...]:
    """Draw a product or a field; return how it was read."""
    given = Reading.of(options.group, options.dims, options.where)
    opened = open_source(data, variable=options.variable, reading=given)
    field, reading, name = opened.field, opened.reading, opened.field.array.name
    check_single(field.array, options.variable)
    if options.members is not None and options.hovmoller is not None:
        raise InputError("--members and --hovmoller are two figures; give one of them")
    source = part_of_product(data, f"{name}_source", reading)
    observed = _same_variable(options.observed, str(name), reading)
    measured = None if observed is None else observed.array
    if observed is None and source is not None:
        measured = observed_part(field.array, source.array)
    if options.hovmoller is not None:
        _refuse(options, "a Hovmöller diagram", ("date", "band", "truth", "panels", "domain"))
        with explain_read_errors(" ".join(map(str, data)), str(name)):
            plot_hovmoller(field.array, options.hovmoller, observed=measured, path=out, style=options.style)
    elif options.members is not None:
        _refuse(options, "a figure of members", ("band", "truth", "panels", "domain"))
        _plot_members(data, field, source, measured, reading, out, options)
    else:
        _plot_maps(data, field, source, observed, measured, reading, out, options)
    return opened.notes


def _plot_maps(
    data: Sequence[str | Path],
    field: Field,
    source: Field | None,
    observed: Field | None,
    measured: xr.DataArray | None,
    reading: Reading,
    out: Path,
    options: PlotOptions,
) -> None:
    """Draw the maps of one date of a product, or of a field."""
    name, label = field.array.name, " ".join(map(str, data))
    std = part_of_product(data, f"{name}_std", reading)
    truth = _same_variable(options.truth, str(name), reading)
    parts = [(label, field), (label, source), (label, std), (options.truth, truth), (options.observed, observed)]
    _load_date(parts, options.date)
    if measured is None and truth is None:
        if options.panels is not None:
            raise InputError(
                f"{label} is no product, so it has no panels; leave --panels out, or give --observed or --truth"
            )
        domain = _domain(data, options.domain, field, reading)
        one = select_band(select_date(field, options.date), options.band).array
        plot_field(one, domain=domain, path=out, style=options.style)
        return
    plot_reconstruction(
        field.array if measured is None else measured,
        field.array,
        truth=None if truth is None else truth.array,
        source=None if source is None else source.array,
        std=None if std is None else std.array,
        date=options.date,
        band=options.band,
        path=out,
        panels=options.panels,
        style=options.style,
    )


def _plot_members(
    data: Sequence[str | Path],
    field: Field,
    source: Field | None,
    measured: xr.DataArray | None,
    reading: Reading,
    out: Path,
    options: PlotOptions,
) -> None:
    """Draw the members of one date of a product."""
    name, label = f"{field.array.name}_member", " ".join(map(str, data))
    if name not in variable_names(data, reading=reading) or field.axes.band is not None or options.members is None:
        raise InputError(f"{label} has no {name}, which geogan fill writes with --members 2 or more; fill once more")
    # A field has no dimension of members, which are read like its bands.
    reading = replace(reading.unconditional(), dims=(*reading.dims, ("band", "member")))
    members = open_source(data, variable=name, reading=reading).field
    _load_date([(label, field), (label, source), (label, members)], options.date)
    plot_members(
        members.array.rename({str(members.axes.band): "member"}),
        field.array,
        observed=measured,
        source=None if source is None else source.array,
        count=options.members,
        date=options.date,
        path=out,
        style=options.style,
    )


def _refuse(options: PlotOptions, what: str, names: Sequence[str]) -> None:
    """Refuse options that a figure has no use for."""
    for name in names:
        if getattr(options, name) is not None:
            raise InputError(f"{what} has no {name}; leave {name} out")


def _load_date(parts: Sequence[tuple[Any, Field | None]], date: str | None) -> None:
    """Read the map of a date of each part, so that an error names the damaged file."""
    for path, part in parts:
        if part is not None:
            with explain_read_errors(str(path), str(part.array.name)):
                select_date(part, date).array.load()


def check_single(array: xr.DataArray, variable: str | None) -> None:
    """Refuse joined variables: a figure shows one.

    Raises
    ------
    InputError
    """
    if is_joined(array):
        choices = " or ".join(f"--variable {each.name}" for each in split_variables(array))
        raise InputError(f"a figure shows one variable, got {variable!r}; give {choices}")


def part_of_product(data: Data, name: str, reading: Reading, *, time: str | None = None) -> Field | None:
    """Open a variable of a filled product; None if the data have no such variable."""
    if name not in variable_names(data, reading=reading):
        return None
    return open_source(data, variable=name, time=time, reading=reading.unconditional()).field


def _same_variable(path: str | Path | None, name: str, reading: Reading) -> Field | None:
    """Open the variable of this name in another file, or the only variable of that file."""
    if path is None:
        return None
    reading = reading.beside()
    found = name if name in variable_names(path, reading=reading) else None
    return open_source(path, variable=found, reading=reading).field


def _domain(data: Data, name: str | None, field: Field, reading: Reading) -> xr.DataArray | None:
    """Return the cells of the domain that ``--domain`` names, shape (y, x)."""
    if name is None:
        return None
    array, axes = field.array, field.axes
    domain = named_domain(field, find_domain(data, name, field, reading=reading))
    if domain is None:
        cells = array.notnull().any([dim for dim in array.dims if dim not in (axes.y, axes.x)]).values
    else:
        cells = domain.cells
    coords = {dim: array[dim] for dim in (axes.y, axes.x) if dim in array.coords}
    return xr.DataArray(cells, dims=(axes.y, axes.x), coords=coords)


@contextmanager
def _new_figures_closed() -> Iterator[None]:
    """Close the pyplot figures that were opened in the block; figures of the caller stay open."""
    import matplotlib.pyplot as plt

    before = set(plt.get_fignums())
    try:
        yield
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
