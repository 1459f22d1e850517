"""``geogan identifiability``: what the gaps of a field leave unknown, before anything is trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geogan.files.places import check_apart
from geogan.files.user_path import Data
from geogan.gaps import SAME, Identifiability, Packing
from geogan.gaps import identifiability as look
from geogan.io import Reading, open_source
from geogan.pipelines.domain_of import domain_of
from geogan.plotting import figure_path, plot_identifiability

if TYPE_CHECKING:
    from rich.console import Console


def identifiability(
    data: Data,
    out: str | Path | None = None,
    *,
    variable: str | None = None,
    domain: str | None = None,
    time: str | None = None,
    group: str | None = None,
    dims: str | Mapping[str, str] | None = None,
    where: str | None = None,
    overwrite: bool = False,
    console: "Console | None" = None,
) -> dict[str, Any]:
    """Look at which cells and pairs of cells are observed together, and whether gaps depend on the field.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `geogan.io.open_field`.
    out : str or Path, optional
        Figure to write: on how many dates each cell is observed, and the share of its pairs that never are.
    variable, domain, time, group, dims, where : str, optional
        As in `geogan.pipelines.info.info`; by default the domain that a training would choose.
    overwrite : bool
        Replace an existing figure.
    console : Console, optional
        Print the results to this console.

    Returns
    -------
    found : dict
        Plain values that JSON can hold; ``warnings`` holds a sentence for each thing that no method can learn.

    Raises
    ------
    InputError
        If the data cannot be read, hold no field that could be filled, or the figure cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from geogan import corrupt, synthetic_sst
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     corrupt(synthetic_sst(days=9, size=24).sst, "cloud_mask:scale=6").to_netcdf(f"{folder}/sea.nc")
    ...     found = identifiability(f"{folder}/sea.nc", domain="observed")
    >>> found["dates_read"]
    9
    """
    target = None
    if out is not None:
        check_apart(out, {"--data": data}, what="the figure")
        target = figure_path(out, overwrite=overwrite)
    reading = Reading.of(group, dims, where)
    source = open_source(data, variable=variable, time=time, reading=reading)
    field = source.field
    packing = Packing(field)
    chosen, _ = domain_of(data, source, domain, look=packing.add)

    def message(sentence: str) -> None:
        if console is not None:
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    for note in source.notes:
        message(note)
    found = look(field, chosen.cells, packing=packing, message=message)
    if target is not None:
        plot_identifiability(field.array, found.domain, found.counts / found.dates, found.pairs.never_share, target)
    if console is not None:
        _print(found, console)
    return found.plain()


def _print(found: Identifiability, console: "Console") -> None:
    """Print the shares of pairs as a table, then the warnings."""
    from rich.table import Table

    rows = found.table()
    # The cells themselves have no pair on the same date, so their row does not begin with it.
    columns = sorted(dict.fromkeys(when for shares in rows.values() for when in shares), key=lambda when: when != SAME)
    if rows:
        table = Table(
            title="pairs observed together, by distance and time",
            title_justify="left", title_style="bold", box=None,
        )  # fmt: skip
        table.add_column("distance", style="cyan")
        for when in columns:
            table.add_column(when, justify="right")
        for name, shares in rows.items():
            table.add_row(name, *(f"{shares[when]:.1%}" if when in shares else "" for when in columns))
        console.print(table)
        console.print()
    is_whole = bool((found.counts[found.domain] == found.dates).all())
    nothing = "the domain has no gaps" if is_whole else "nothing in these gaps keeps the field from being learned"
    for sentence in found.warnings() or [nothing]:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
