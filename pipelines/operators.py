"""``geogan operators``: list operators, fit them to the gaps of a field, draw their gaps below the real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from geogan.fields.field import Field
from geogan.files.places import check_apart
from geogan.files.user_path import Data
from geogan.gaps import CANDIDATES, LAGS, OperatorFit, fit_operators, gap_samples
from geogan.io import Reading, open_source
from geogan.operators.operator import Operator
from geogan.operators.parse import known_operators
from geogan.pipelines.domain_of import domain_of
from geogan.plotting import figure_path, plot_masks

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class GapSource:
    """The field whose gaps are looked at; each attribute is an option of the command line, as in `geogan info`.

    Attributes
    ----------
    variable, domain, time, group, where : str, optional
    dims : str or mapping, optional
    """

    variable: str | None = None
    domain: str | None = None
    time: str | None = None
    group: str | None = None
    dims: str | Mapping[str, str] | None = None
    where: str | None = None

    def open(self, data: Data) -> tuple[Field, np.ndarray]:
        """Return the field, and its domain (H, W)."""
        reading = Reading.of(self.group, self.dims, self.where)
        source = open_source(data, variable=self.variable, time=self.time, reading=reading)
        domain, _ = domain_of(data, source, self.domain)
        return source.field, domain.cells


class Described(TypedDict):
    """What an operator does, its parameters with their defaults, and which of them are lengths in cells or km."""

    about: str
    parameters: dict[str, Any]
    lengths: list[str]


def list_operators(console: Console | None = None) -> dict[str, Described]:
    """Return the operators by name.

    Examples
    --------
    >>> list_operators()["remove_pixel"]["parameters"]
    {'p': 0.9}
    """
    known = known_operators()
    found = {
        name: Described(
            about=(kind.__doc__ or "").strip().split("\n")[0],
            parameters={each.name: each.default for each in fields(kind)},
            lengths=list(getattr(kind, "lengths", {})),
        )
        for name, kind in known.items()
    }
    if console is not None:
        from rich.padding import Padding
        from rich.text import Text

        for name, described in found.items():
            console.print(name, style="bold", highlight=False)
            console.print(Padding(Text(described["about"]), (0, 0, 0, 4)))
            # An operator that cannot be fitted has parameters that may stay without a value.
            unset = "from the gaps" if getattr(known[name], "fitted", None) is not Operator.fitted else "none"
            parameters = [
                f"{key}={unset if value is None else str(value).lower()}"
                for key, value in described["parameters"].items()
            ]
            console.print(Padding(Text(", ".join(parameters)), (0, 0, 0, 4)))
            if described["lengths"]:
                console.print(Padding(Text(f"in cells, or in km: {', '.join(described['lengths'])}"), (0, 0, 0, 4)))
    return found


def fit(
    data: Data,
    operators: Sequence[str] = CANDIDATES,
    source: GapSource = GapSource(),
    *,
    seed: int = 0,
    console: Console | None = None,
) -> list[dict[str, Any]]:
    """Fit operators to the gaps of a field, and test whether their gaps look like the real ones.

    Parameters
    ----------
    data : str, Path or a sequence of them
    operators : sequence of str
        Parameters that are given are kept.
    source : GapSource
    seed : int
    console : Console, optional
        Where to print the results.

    Returns
    -------
    fits : list of dict
        The best first.

    Raises
    ------
    InputError
        If the data cannot be read, have no gaps, or no operator can be fitted.
    """
    fits = fit_operators(*source.open(data), operators, seed=seed, message=_printer(console))
    if console is not None:
        for each in fits:
            _print(each, console)
        console.print(f"--operator {fits[0].text}", markup=False, highlight=False, soft_wrap=True, style="bold")
    return [each.plain() for each in fits]


def show(
    data: Data,
    name: str,
    out: str | Path,
    source: GapSource = GapSource(),
    *,
    seed: int = 0,
    overwrite: bool = False,
    console: Console | None = None,
) -> Path:
    """Draw gaps of an operator, fitted to a field, below real gaps of the field.

    Parameters
    ----------
    data : str, Path or a sequence of them
    name : str
        Operator, with parameters after a colon.
    out : str or Path
        Figure to write.
    source : GapSource
    seed : int
    overwrite : bool
        Replace an existing figure.
    console : Console, optional
        Where to print the fitted operator.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the data cannot be read, the operator cannot be fitted, or the figure cannot be written.
    """
    check_apart(out, {"--data": data}, what="the figure")
    target = figure_path(out, overwrite=overwrite)
    samples = gap_samples(*source.open(data), name, seed=seed)
    _printer(console)(samples.text)
    return plot_masks({"observed": samples.real, samples.text: samples.drawn}, samples.domain, target)


def chosen_operator(field: Field, domain: np.ndarray, *, seed: int, message: Any) -> str:
    """Return the operator whose gaps look most like those of a field, and say why."""
    best = fit_operators(field, domain, seed=seed, message=message)[0]
    message(f"operator auto: {best.text}; a classifier tells its gaps from real ones in {best.accuracy} of the cases")
    return best.text


def _printer(console: Console | None) -> Any:
    def message(sentence: str) -> None:
        if console is not None:
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    return message


def _print(found: OperatorFit, console: Console) -> None:
    """Print how an operator's gaps differ from the real ones, as a table."""
    from rich.table import Table

    table = Table(title=found.text, title_justify="left", title_style="bold", box=None)
    for name in ("", "real", "drawn"):
        table.add_column(name, justify="right" if name else "left", style=None if name else "cyan")
    real, drawn = found.real, found.drawn
    for row, quantile in ((1, "a quarter"), (2, "half"), (3, "three quarters")):
        table.add_row(
            f"hidden share, {quantile} of the crops less", f"{real.cover[row]:.0%}", f"{drawn.cover[row]:.0%}"
        )
    table.add_row("cells of the gap of a hidden cell, median", f"{real.size[2]:.0f}", f"{drawn.size[2]:.0f}")
    for number, lag in enumerate(LAGS):
        if not np.isnan(real.variogram[number]).all():
            shares = (" / ".join(f"{share:.1%}" for share in each.variogram[number]) for each in (real, drawn))
            table.add_row(f"pairs that differ at {lag} cells, in rows / columns", *shares)
    if not np.isnan(real.overlap):
        table.add_row("correlation of consecutive dates", f"{real.overlap:.2f}", f"{drawn.overlap:.2f}")
    console.print(table)
    console.print(f"told apart by a classifier: {found.accuracy} (50% is perfect)\n", highlight=False)
