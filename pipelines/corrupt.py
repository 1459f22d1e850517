"""``geogan corrupt``: add gaps, blur and noise to a field, to test methods against a known truth."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from geogan.archive import check_field
from geogan.corruption import corrupt as make_gappy
from geogan.fields.codes import Container
from geogan.fields.storage import choose_storage
from geogan.fields.variables import split_variables
from geogan.files.attributes import FILL
from geogan.files.places import check_apart
from geogan.files.user_path import Data
from geogan.io import Reading, Source, open_masks, open_source
from geogan.operators.operator import Operator
from geogan.operators.parse import describe, parse, remarks
from geogan.product import check_output, container_of, write_dataset

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class CorruptOptions:
    """How ``geogan corrupt`` reads and measures its data; each attribute is an option of the command line.

    Attributes
    ----------
    operator : str, sequence of str, or Operator
        As in `geogan.operators.parse.parse`. Parameters that are not given take their defaults. Noise is in
        standard deviations of the field; see `geogan.corruption.corrupt`.
    variable : str, sequence of str, or None
        Needed if there are several measured variables; several are measured together.
    time : str or None
        Dates, as in `geogan.io.open_field`.
    group, where : str or None
        How the data are read, as in `geogan.io.open_field`.
    dims : str, mapping or None
        As in `geogan.io.open_field`.
    seed : int
        Two seeds give two independent measurements. The draw for a date depends only on the seed and that date.
    """

    operator: str | Sequence[str] | Operator = "cloud_mask"
    variable: str | Sequence[str] | None = None
    time: str | None = None
    group: str | None = None
    dims: str | Mapping[str, str] | None = None
    where: str | None = None
    seed: int = 0


def corrupt(
    data: Data,
    out: str | Path,
    options: CorruptOptions = CorruptOptions(),
    *,
    overwrite: bool = False,
    console: "Console | None" = None,
) -> Path:
    """Write a field as an operator would have measured it.

    Units, coordinates, attributes, packing and the masks of land and sea are those of the source.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `geogan.io.open_field`; read chunk by chunk.
    out : str or Path
        Store or file to write, ``.zarr`` or ``.nc``.
    options : CorruptOptions
    overwrite : bool
        Replace an existing store that geogan wrote.
    console : Console, optional
        Console that shows notes and progress.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the data cannot be read, the operator is unknown, or the output cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> import xarray as xr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     truth = f"{folder}/truth.nc"
    ...     synthetic_sst(days=2, size=24).to_netcdf(truth)
    ...     path = corrupt(truth, f"{folder}/gappy.nc", CorruptOptions("remove_pixel:p=0.5"))
    ...     with xr.open_dataset(path) as gappy:
    ...         sorted(gappy.data_vars)
    ['sea_mask', 'sst']
    """
    # Checks that need no data come first.
    target = check_output(out, overwrite=overwrite)
    check_apart(out, {"--data": data})
    operator = parse(options.operator)
    reading = Reading.of(options.group, options.dims, options.where)
    source = open_source(data, variable=options.variable, time=options.time, reading=reading)
    field = source.field
    check_field(field)
    gappy = make_gappy(field.array, operator, seed=options.seed)
    dataset = _with_storage(gappy, source, operator, container=container_of(target))
    dataset = dataset.assign(open_masks(data, field, reading=source.reading).data_vars)
    # The provenance that a filled product carries does not hold for its corrupted copy.
    dataset.attrs = {key: value for key, value in source.attrs.items() if key != FILL}
    dataset.attrs["history"] = _history(source, operator, target, options)
    if console is None:
        return write_dataset(dataset, target, overwrite=overwrite)
    for note in (*source.notes, *remarks(operator, field.bands)):
        console.print(note, markup=False, highlight=False)
    with console.status(f"writing {target}"):
        path = write_dataset(dataset, target, overwrite=overwrite)
    console.print(f"next: geogan info {shlex.quote(str(path))}", highlight=False, soft_wrap=True)
    return path


def _with_storage(gappy: xr.DataArray, source: Source, operator: Operator, container: Container) -> xr.Dataset:
    """Return the variables; without blur or noise, values that stay are packed as in the source."""
    variables = split_variables(gappy)
    for variable, original in zip(variables, split_variables(source.field.array), strict=True):
        if operator.exact:
            storage = choose_storage(original, None, container=container, is_proven=True)
            variable.encoding, variable.attrs = storage.encoding, storage.attrs
    return xr.Dataset({str(variable.name): variable for variable in variables})


def _history(source: Source, operator: Operator, out: Path, options: CorruptOptions) -> str:
    """Return the CF history of the source with one more line: the time and the command."""
    command = ["geogan", "corrupt", *source.paths, f"--out={out}"]
    command += [f"--operator={describe(operator)}", f"--seed={options.seed}"]
    command += [f"--time={options.time}"] if options.time else []
    command += [f"--{name}={value}" for name, value in source.reading.plain.items()]
    line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {shlex.join(command)}"
    return "\n".join(filter(None, [str(source.attrs.get("history", "")).rstrip(), line]))
