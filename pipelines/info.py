"""``geogan info``: describe a field, a filled product or a run, and propose the next command."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geogan.archive import Outliers, check_field, describe_field
from geogan.compute.extent import Extent
from geogan.compute.streaming import reading_hint
from geogan.fields.field import Field
from geogan.fields.variables import is_joined, variables_of
from geogan.files.attributes import FILL
from geogan.files.run_folder import RUN, STATE, holds, is_run, read_run
from geogan.files.user_path import Data, user_path
from geogan.gaps import QUICK, Packing, identifiability
from geogan.io import Reading, Source, open_source
from geogan.operators.errors import InputError
from geogan.pipelines.domain_of import domain_of
from geogan.pipelines.info_report import print_report
from geogan.pipelines.next_command import next_command

if TYPE_CHECKING:
    from rich.console import Console


def info(
    data: Data,
    *,
    variable: str | None = None,
    domain: str | None = None,
    time: str | None = None,
    group: str | None = None,
    dims: str | Mapping[str, str] | None = None,
    where: str | None = None,
    console: "Console | None" = None,
) -> dict[str, Any]:
    """Describe a field, a filled product, or a run.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `geogan.io.open_field`, or the folder of a run. A field is read once, chunk by chunk.
    variable : str, optional
        Needed if there are several measured variables; several names with commas between are described together.
    domain : str, optional
        Domain within which coverage is counted, as in `geogan.io.find_domain`; by default, cells that were ever
        observed.
    time : str, optional
        Dates to read, as in `geogan.io.open_field`.
    group, dims, where : str, optional
        How the data are read, as in `geogan.io.open_field`.
    console : Console, optional
        Print the result to this console as tables.

    Returns
    -------
    info : dict
        Sections by name, each a dict of plain values that JSON can hold, in the units that their names state;
        ``kind`` is ``"data"`` or ``"run"``, ``next`` a command to run next.

    Raises
    ------
    InputError
        If the data do not exist, cannot be read, or hold no field that could be filled.

    Examples
    --------
    >>> import tempfile
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     synthetic_sst(days=3, size=24).to_netcdf(f"{folder}/sea.nc")
    ...     found = info(f"{folder}/sea.nc")
    >>> found["variable"]["units"], found["coverage"]["observed_share"]
    ('degree_Celsius', 1.0)
    """
    reading = Reading.of(group, dims, where)
    paths = [data] if isinstance(data, str | Path) else list(data)
    if len(paths) == 1 and is_run(paths[0]):
        options = {"variable": variable, "domain": domain, "time": time, **reading.plain}
        given = ", ".join(name for name, value in options.items() if value is not None)
        if given:
            raise InputError(f"{paths[0]} is a run, which records how its data are read; leave {given} out")
        description = _run(user_path(paths[0]))
    else:
        source = open_source(paths, variable=variable, time=time, reading=reading)
        selection = {"variable": variable, "time": time, "domain": domain}
        description = _data(paths, source, {name: value for name, value in selection.items() if value is not None})
    if console is not None:
        print_report(description, console)
    return description


def _data(paths: Sequence[str | Path], source: Source, selection: Mapping[str, str]) -> dict[str, Any]:
    """Describe a field or a filled product; ``selection`` holds the options that were given."""
    field = source.field
    # The domain of a product is where it has values, whatever coastlines say.
    domain = selection.get("domain", "observed" if FILL in source.attrs else None)
    outliers = Outliers(field.array.size, independent=field.axes.independent)
    packing = Packing(field, most=QUICK)

    def look(extent: Extent, part: np.ndarray) -> None:
        outliers.add(extent, part)
        packing.add(extent, part)

    chosen, survey = domain_of(paths, source, domain, look=look)
    variables = [(field, survey)]
    if is_joined(field.array):
        variables = [(part, check_field(part)) for part in variables_of(field)]
    described = describe_field(field, survey, variables, chosen, outliers)
    described["grid"]["fill_reads_each_byte"] = _times_read(field)
    learnable = identifiability(field, chosen.cells, packing=packing, compares=False).warnings()
    return {
        "kind": "data",
        **described,
        **({"masks_and_flags": dict(source.flags)} if source.flags else {}),
        **({"identifiability": {"warnings": learnable}} if learnable else {}),
        **({"reading": {"notes": list(source.notes)}} if source.notes else {}),
        "next": next_command(paths, source, survey, variables, selection),
    }


def _run(path: Path) -> dict[str, Any]:
    """Describe a run: its model, the data it was trained on, and whether it can be resumed."""
    # A field is described without the modules of models and training, which take long to import.
    from geogan.model import load_model
    from geogan.pipelines.describe_model import describe_model
    from geogan.training import read_state_text

    description: dict[str, Any] = {"kind": "run"} | describe_model(load_model(path))
    record = read_run(path) if holds(path, RUN) else {}
    data = record.get("data")
    description["trained_on"] = {"data": data, **description["trained_on"]}
    description["trained_on"] |= {name: record.get(name) for name in ("domain", "time")}
    is_resumable = holds(path, STATE)
    if is_resumable:
        state = read_state_text(path)
        description["training"] |= {"steps": state["step"], "minutes": state["seconds"] / 60}
    description["training"]["can_be_resumed"] = is_resumable
    names = " ".join(shlex.quote(str(name)) for name in data or ["DATA"])
    description["next"] = f"geogan fill {names} --model {shlex.quote(str(path))} --out filled.zarr"
    return description


def _times_read(field: Field) -> str:
    """Return how often a fill reads each byte, and what to do if that is often."""
    if field.axes.time is None:
        return "once"
    # Dates and cells of a task of the largest grid that is filled in one piece.
    hint = reading_hint(field.stacked, dates=24, cells=min(field.grid[0] * field.grid[1], 1400 * 1400))
    return "once" if hint is None else hint.removeprefix("each byte of the archive is read ")
