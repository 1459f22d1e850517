"""``geogan corrupt``: a field made gappy, to try methods where the truth is known."""

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from geogan.archive.survey import check_field
from geogan.corruption import corrupt as make_gappy
from geogan.fields.axes import find_axes
from geogan.fields.codes import Container
from geogan.fields.storage import choose_storage
from geogan.fields.variables import split_variables
from geogan.files.places import check_apart
from geogan.io import Data, Reading, open_masks, open_source
from geogan.io.encoding import TOLD
from geogan.operators.operator import Operator
from geogan.operators.parse import describe, parse, remarks
from geogan.product.store import check_output, is_netcdf, write_dataset

if TYPE_CHECKING:
    from rich.console import Console


def corrupt(
    data: Data,
    out: str | Path,
    *,
    operator: str | Sequence[str] | Operator = "cloud_mask",
    variable: str | Sequence[str] | None = None,
    time: str | None = None,
    group: str | None = None,
    dims: str | Mapping[str, str] | None = None,
    where: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    console: "Console | None" = None,
) -> Path:
    """Write a field as an operator would have measured it.

    Only the gaps, the blur and the noise are new: units, coordinates, attributes and packing are those of the
    source, and so are its masks of land and sea. What a date suffers depends on the seed and that date alone.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `geogan.io.open_field`; read block by block.
    out : str or Path
        Product to write, ``.zarr`` or ``.nc``.
    operator : str, sequence of str, or Operator
        As in `geogan.operators.parse.parse`. Parameters that are not given take their defaults. Noise is
        counted in standard deviations of the field; see `geogan.corruption.corrupt`.
    variable : str or sequence of str, optional
        Needed where there are several measured variables; several names are measured together, with commas between.
    time : str, optional
        Dates, as in `geogan.io.open_field`.
    group, dims, where : str, optional
        How the data are read, as there.
    seed : int
        Two seeds give two independent measurements.
    overwrite : bool
        Replace a product of that name.
    console : Console, optional
        Where to say what is done.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the data cannot be read, the operator not understood, or the output not written.

    Examples
    --------
    >>> import tempfile
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> import xarray as xr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     truth = f"{folder}/truth.nc"
    ...     synthetic_sst(days=2, size=24).to_netcdf(truth)
    ...     path = corrupt(truth, f"{folder}/gappy.nc", operator="remove_pixel:p=0.5")
    ...     with xr.open_dataset(path) as gappy:
    ...         sorted(gappy.data_vars)
    ['sea_mask', 'sst']
    """
    # All that can be refused at once is refused before anything is read.
    named, out = out, check_output(out, overwrite=overwrite)
    check_apart(named, {"--data": data})
    measuring = parse(operator)
    source = open_source(data, variable=variable, time=time, reading=Reading.of(group, dims, where))
    check_field(source.field, find_axes(source.field))
    gappy = make_gappy(source.field, measuring, seed=seed)
    command = ["geogan", "corrupt", *(f"--data={path}" for path in source.paths), f"--out={out}"]
    command += [f"--operator={describe(measuring)}", f"--seed={seed}"]
    command += [f"--time={time}"] if time else []
    command += [f"--{name}={value}" for name, value in source.reading.plain.items()]
    line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {shlex.join(command)}"
    history = "\n".join(filter(None, [str(source.attrs.get("history", "")).rstrip(), line]))
    container: Container = "netcdf" if is_netcdf(out) else "zarr"
    variables = split_variables(gappy)
    for one, original in zip(variables, split_variables(source.field), strict=True):
        if measuring.exact:
            storage = choose_storage(original, None, container=container, is_proven=True)
            one.encoding, one.attrs = storage.encoding, storage.attrs
    dataset = xr.Dataset({str(one.name): one for one in variables})
    dataset = dataset.assign(open_masks(data, source.field, reading=source.reading).data_vars)
    # What a product says of how it was filled holds no more.
    dataset.attrs = {key: value for key, value in source.attrs.items() if key != TOLD} | {"history": history}
    if console is None:
        return write_dataset(dataset, out, overwrite=overwrite)
    axes = find_axes(source.field)
    for remark in (*source.notes, *remarks(measuring, 1 if axes.band is None else source.field.sizes[axes.band])):
        console.print(remark, markup=False, highlight=False)
    with console.status(f"writing {out}"):
        path = write_dataset(dataset, out, overwrite=overwrite)
    console.print(f"next: geogan info {shlex.quote(str(path))}", highlight=False, soft_wrap=True)
    return path
