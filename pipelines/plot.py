"""``geogan plot``: a product, a field, or the course of a training as a figure."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from geogan.compute.streaming import reading
from geogan.fields.axes import find_axes
from geogan.fields.domains import named_domain
from geogan.fields.variables import is_joined, split_variables
from geogan.files.places import check_apart
from geogan.files.plain_file import parse_json, read_json, read_lines
from geogan.files.run_folder import METRICS, TEXT, is_run
from geogan.files.user_path import user_path
from geogan.io import Reading, find_domain, open_source, variable_names
from geogan.operators.errors import InputError
from geogan.plotting import (
    figure_path,
    observed_part,
    plot_field,
    plot_reconstruction,
    plot_training,
    select_band,
    select_date,
)

if TYPE_CHECKING:
    from rich.console import Console

# Characters of units that a figure shows.
_UNITS = 100


def plot(
    data: str | Path,
    *,
    out: str | Path,
    variable: str | None = None,
    date: str | None = None,
    band: str | int | None = None,
    truth: str | Path | None = None,
    observed: str | Path | None = None,
    domain: str | None = None,
    group: str | None = None,
    dims: str | Mapping[str, str] | None = None,
    where: str | None = None,
    overwrite: bool = False,
    console: "Console | None" = None,
) -> Path:
    """Draw what ``data`` is.

    A filled product is drawn as it was observed, as it was filled, and where its values come from; with
    ``truth``, how far it is from the truth. A field alone is one map. A run is the course of its training.

    Parameters
    ----------
    data : str or Path
        Product, field, or folder of a run.
    out : str or Path
        Figure to write: ``.png``, ``.pdf`` or ``.svg``. It is complete or not there.
    variable : str, optional
        Needed where there are several measured variables.
    date : str, optional
        The map nearest to it is drawn, or the sample of that number; by default one that is about half observed.
    band : str or int, optional
        Name or number of the band to draw; by default red, green and blue together, or the first of other bands.
    truth : str or Path, optional
        Field of the same grid and unit.
    observed : str or Path, optional
        Gappy field of the same grid and unit; by default what a product marks as observed.
    domain : str, optional
        Variable of ``data`` that is 1 at sea and 0 on land, for a single map.
    group, dims, where : str, optional
        How the data are read, as in `geogan.io.open_field`.
    overwrite : bool
        Replace an existing figure.
    console : Console, optional
        Where to say what is done.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the data cannot be read or drawn, or the figure not written.

    Examples
    --------
    >>> import tempfile
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     synthetic_sst(days=2, size=24).to_netcdf(f"{folder}/sea.nc")
    ...     plot(f"{folder}/sea.nc", out=f"{folder}/sea.png", date="2015-01-02").name
    'sea.png'
    """
    check_apart(out, {"--data": data, "--truth": truth, "--observed": observed}, what="the figure")
    out = figure_path(out, overwrite=overwrite)
    if is_run(data):
        for name, given in (
            ("variable", variable),
            ("date", date),
            ("band", band),
            ("truth", truth),
            ("observed", observed),
            ("domain", domain),
            ("group", group),
            ("dims", dims),
            ("where", where),
        ):
            if given is not None:
                raise InputError(f"{data} is a run, whose curves have no {name}; leave {name} out")
        metrics = _metrics(user_path(data))
        with _beside(out) as partial:
            plot_training(metrics, partial, units=_error_units(user_path(data)))
        return out
    source_of_field = open_source(str(data), variable=variable, reading=Reading.of(group, dims, where))
    field, own = source_of_field.field, source_of_field.reading
    if is_joined(field):
        each = " or ".join(f"--variable {one.name}" for one in split_variables(field))
        raise InputError(f"a figure shows one variable, got {variable!r}; give {each}")
    source, std = (
        open_source(str(data), variable=name, reading=own.unconditional()).field
        if name in variable_names(str(data), reading=own)
        else None
        for name in (f"{field.name}_source", f"{field.name}_std")
    )
    true, seen = (
        None if path is None else _beside_field(path, field, reading)
        for path, reading in ((truth, own.beside()), (observed, own.beside()))
    )
    for path, part in ((data, field), (data, source), (data, std), (truth, true), (observed, seen)):
        if part is not None:
            # A damaged file is noticed here, where its name is known.
            with reading(str(path), str(part.name)):
                select_date(part, date).load()
    if source is None and true is None and seen is None:
        chosen = select_band(select_date(field, date), band)
        sea = _domain(str(data), domain, field, own)
        with _beside(out) as partial:
            figure: Any = plot_field(chosen, domain=sea).figure
            figure.savefig(partial, dpi=150)
        return out
    if seen is None:
        seen = field if source is None else observed_part(field, source)
    with _beside(out) as partial:
        plot_reconstruction(seen, field, truth=true, source=source, std=std, date=date, band=band, path=partial)
    return out


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A name beside the final one, which the figure gets when it is complete."""
    import matplotlib.pyplot as plt

    partial = out.with_name(f".{out.stem}.partial{out.suffix}")
    open_before = set(plt.get_fignums())
    try:
        yield partial
        partial.replace(out)
    except OSError as error:
        if str(error.filename) != str(partial):
            raise
        raise InputError(f"{out} cannot be written ({error.strerror}); give another place") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        # The caller's own figures stay open.
        for number in set(plt.get_fignums()) - open_before:
            plt.close(number)


def _beside_field(path: str | Path, field: xr.DataArray, how: Reading) -> xr.DataArray:
    """The variable of the field's name in another file, where that has it; else the only variable there."""
    name = str(field.name) if str(field.name) in variable_names(path, reading=how) else None
    return open_source(path, variable=name, reading=how).field


def _domain(data: str, name: str | None, field: xr.DataArray, how: Reading) -> xr.DataArray | None:
    if name is None:
        return None
    axes = find_axes(field)
    asked = find_domain(data, name, field, reading=how)
    found = named_domain(field, asked)
    sea = (
        field.notnull().any([dim for dim in field.dims if dim not in (axes.y, axes.x)]).values
        if found is None
        else found.cells
    )
    coords = {dim: field[dim] for dim in (axes.y, axes.x) if dim in field.coords}
    return xr.DataArray(sea, dims=(axes.y, axes.x), coords=coords)


def _error_units(run: Path) -> str:
    """In what a run's errors are; nothing where it does not say."""
    try:
        return str(read_json(run / TEXT)["scores"]["units"])[:_UNITS]
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _metrics(run: Path) -> list[dict[str, Any]]:
    """Records of a training; a line that was being written when the run was stopped does not count."""
    # Only for a run: a field is drawn without it.
    from geogan.files.schema import MetricsLine, check

    file, records = run / METRICS, []
    try:
        for line, _ in read_lines(file):
            try:
                record = parse_json(line)
                check(MetricsLine, record)
            except ValueError:
                continue
            records.append(record)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{run} holds no {METRICS}, so there is no training to draw; train it again") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); copy it again") from error
    return records
