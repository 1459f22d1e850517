"""``geogan fill --out-dir``: one product for each file, filled with the files before and after it."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from geogan.fields.field import Field
from geogan.fields.time_range import span_of
from geogan.files.places import check_apart
from geogan.files.user_path import Data, user_path
from geogan.filling import FillOptions, Workers
from geogan.io import Reading, find_paths, open_source
from geogan.model import load_model
from geogan.operators.errors import InputError
from geogan.operators.wording import counted
from geogan.pipelines.fill import Mode, Selection, fill, reading_of

Variable = str | Sequence[str]
# Files before and after a file that are read with it: as many as the dates that a task reads around its own.
NEIGHBOURS = 8


def fill_each(
    data: Data,
    model: str | Path,
    folder: str | Path,
    *,
    options: FillOptions | None = None,
    selection: Selection | None = None,
    mode: Mode = "new",
    skip_existing: bool = False,
    workers: Workers | None = None,
    console: Console | None = None,
) -> list[Path]:
    """Fill each file into a product of its own, of the same name in another folder.

    Each file is filled with the dates of up to eight files before and after it, in the order of their names; other
    files are not opened.

    Parameters
    ----------
    data : path or URL, or several
        Files of one grid whose names are in the order of their dates.
    model, options, selection, mode, workers, console
        As for `geogan.pipelines.fill.fill`, without a selection of dates.
    folder : path
        Made if it does not exist. Products are NetCDF files, or Zarr stores if the data are.
    skip_existing : bool
        Leave products that exist as they are, also if their file was revised.

    Returns
    -------
    list of Path
        The products that were filled now.

    Raises
    ------
    InputError
        If an input cannot be used. Products of earlier files are kept.
    """
    selection = selection or Selection()
    if selection.time is not None:
        raise InputError(
            f"--out-dir fills all dates of each file, but --time {selection.time} was given; leave --time out, or give "
            "the files of these dates"
        )
    paths, place = find_paths(data), user_path(folder)
    check_apart(place, {"--data": data, "--model": model}, what="the folder", holds=True)
    targets = [place / _product_name(path) for path in paths]
    _check_names(paths, targets)
    for target in targets:
        check_apart(target, {"--data": data, "--model": model})
    place.mkdir(parents=True, exist_ok=True)
    wanted = [number for number, target in enumerate(targets) if not (skip_existing and target.exists())]

    def message(sentence: str) -> None:
        if console is not None:
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    if len(wanted) < len(paths):
        message(f"skipping {len(paths) - len(wanted)} of {counted(len(paths), 'file')}, whose products exist")
    reading = reading_of(model, group=selection.group, dims=selection.dims, where=selection.where)
    variable = selection.variable or load_model(user_path(model)).variable
    products = []
    for count, number in enumerate(wanted, 1):
        message(f"file {count} of {len(wanted)}: {paths[number]}")
        first = max(0, number - NEIGHBOURS)
        group = paths[first : number + NEIGHBOURS + 1]
        chosen = replace(selection, time=_dates_of(group, number - first, variable, reading))
        products.append(
            fill(group, model, targets[number], options=options, selection=chosen, mode=mode, workers=workers,
                 console=console)
        )  # fmt: skip
    return products


def _product_name(path: str) -> str:
    """Return the name of the product of a file."""
    name = Path(urllib.parse.urlparse(path).path if "://" in path else path).name
    suffix = Path(name).suffix.lower()
    is_store = suffix == ".zarr" or ("://" not in path and Path(path).is_dir())
    ending = ".zarr" if is_store else ".nc"
    return name if suffix == ending else f"{Path(name).stem if suffix else name}{ending}"


def _check_names(paths: Sequence[str], targets: Sequence[Path]) -> None:
    """Refuse files that would have the same product."""
    before: dict[Path, str] = {}
    for path, target in zip(paths, targets, strict=True):
        if target in before:
            raise InputError(
                f"{before[target]} and {path} would both be filled into {target}; fill them into two folders"
            )
        before[target] = path


def _dates_of(group: Sequence[str], number: int, variable: Variable, reading: Reading) -> str | None:
    """Return the dates of one file of a group; None if it is the only one.

    Raises
    ------
    InputError
        If each file has one date and the names of the files are not in the order of the dates.
    """
    if len(group) == 1:
        return None
    whole, own = (_open(files, variable, reading) for files in (group, [group[number]]))
    dates, span = whole.array.indexes[whole.axes.time], span_of(own)
    # A map without a date has the one that the name or an attribute of each file gives.
    span = span or str(dates[number].isoformat())
    date = span.partition("/")[0]
    if len(dates) == len(group) and dates[number].isoformat() != date:
        raise InputError(
            f"{group[number]} holds {date.removesuffix('T00:00:00')}, which is not between the dates of the files "
            "before and after it; give the files in the order of their dates"
        )
    return span


def _open(files: Sequence[str], variable: Variable, reading: Reading) -> Field:
    """Open the model's variable, or the only one of the files."""
    try:
        return open_source(files, variable=variable, reading=reading).field
    except InputError:
        return open_source(files, reading=reading).field
