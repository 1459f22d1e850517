"""``geogan update``: bring a product up to date with its archive, every morning."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from geogan.fields.field import Field
from geogan.fields.time_range import is_relative, shown_date
from geogan.files.user_path import Data
from geogan.filling import FillOptions, Workers
from geogan.io import open_field, variable_names
from geogan.operators.errors import InputError
from geogan.operators.wording import counted
from geogan.pipelines.fill import Selection, checked_job, fill_job


def update(
    data: Data,
    model: str | Path,
    out: str | Path,
    *,
    options: FillOptions | None = None,
    selection: Selection | None = None,
    workers: Workers | None = None,
    console: Console | None = None,
) -> str:
    """Fill the dates that an archive has and a product lacks, and those that were revised since.

    Without a product, all dates are filled. Running it twice changes nothing the second time.

    Parameters
    ----------
    data, model, out, options, selection, workers, console
        As for `geogan.pipelines.fill.fill`; the selected dates, if any, have a fixed beginning.

    Returns
    -------
    line : str
        One line for a log: the time, the product, what was done, the dates of the product.

    Raises
    ------
    InputError
        As for `geogan.pipelines.fill.fill` with the mode ``"append"``; or if the dates are relative to the last one.
    """
    selection = selection or Selection()
    if selection.time is not None and is_relative(selection.time):
        raise InputError(
            f"an update keeps the dates that the product has, but --time {selection.time} moves with the last date; "
            "give a first date such as 2015-01-01/, or leave --time out"
        )
    started, workers = list[str](), workers or Workers()
    job = checked_job(data, model, out, options, selection, device=workers.device)
    product = fill_job(job, out, "update", workers=workers, console=console, start=started.append)
    done = "nothing new" if not started else started[0] or "filled"
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {product}: {done}; {_dates(product)}"


def _dates(product: Path) -> str:
    """Return the number of dates of a product, the first and the last one."""
    name = next(name.removesuffix("_source") for name in variable_names([product]) if name.endswith("_source"))
    field = Field.of(open_field(product, variable=name))
    if field.axes.time is None:
        return "a single map"
    dates = field.array.indexes[field.axes.time]
    return f"{counted(len(dates), 'date')}, {shown_date(dates[0])} to {shown_date(dates[-1])}"
