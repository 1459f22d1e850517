"""Print what ``geogan info`` found as tables."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from geogan.fields.durations import duration, rate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# JSON holds these durations and rates in days, as their names state; a table shows them in the unit that suits them.
_IN_DAYS = ("median_step_days", "persistence_days")
_PER_DAY = ("drift_rows_per_day", "drift_columns_per_day")


def print_report(description: Mapping[str, Any], console: "Console", *, has_next: bool = True) -> None:
    """Print one table for each section, then the next command unless ``has_next`` is False."""
    for title, rows in section_rows(description).items():
        console.print(_table(title, rows))
        console.print()
    if has_next:
        console.print("next", style="bold", highlight=False)
        console.print(description["next"], markup=False, highlight=False, soft_wrap=True)


def section_rows(description: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return the sections of a description as names and values in words, by title.

    Parameters
    ----------
    description : mapping
        As `geogan.pipelines.info.info` returns it.
    """
    found = {}
    for title, section in description.items():
        if isinstance(section, dict):
            if title == "gaps":
                section = _gaps(section, math.prod(description["grid"]["sizes"].values()))
            # Rules for missing values and flags are named like attributes, which keep their underscores.
            has_names = title in ("gaps", "masks_and_flags")
            found[title.replace("_", " ")] = [_row(name, value, has_names) for name, value in section.items()]
    return found


def _row(name: str, value: Any, has_names: bool) -> tuple[str, str]:
    if name in _IN_DAYS and isinstance(value, float):
        name, value = name.removesuffix("_days"), duration(value)
    elif name in _PER_DAY and isinstance(value, float):
        name, value = name.removesuffix("_per_day"), rate(value)
    return name if has_names else name.replace("_", " "), _text(name, value)


def _gaps(counts: Mapping[str, int], values: int) -> dict[str, str]:
    """Return the rules that mark gaps, with the number and the share of the values; rules without gaps are left out."""
    found = {rule: f"{count:,} ({count / values:.1%} of all values)" for rule, count in counts.items() if count}
    return found or {"none": "every value is observed"}


def _table(title: str, rows: Sequence[tuple[str, str]]) -> "Table":
    """Return a section as two columns: names and values."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=None)
    table.show_header = False
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def _text(name: str, value: Any) -> str:
    """Return a value as text; shares are shown in per cent."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(name, part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return " × ".join(map(str, value)) if name == "cells" else " ".join(map(str, value))
    if isinstance(value, float) and "share" in name:
        return f"{value:.1%}"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
