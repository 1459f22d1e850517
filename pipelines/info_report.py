"""Print what ``geogan info`` found as tables."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from geogan.fields.durations import duration, rate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# JSON holds these durations and rates in days, as their names state; a table shows them in the unit that suits them.
_IN_DAYS = ("median_step_days", "persistence_days")
_PER_DAY = ("drift_rows_per_day", "drift_columns_per_day")


def print_report(description: Mapping[str, Any], console: "Console") -> None:
    """Print one table for each section, then the next command."""
    for title, section in description.items():
        if isinstance(section, dict):
            if title == "gaps":
                section = _gaps(section, math.prod(description["grid"]["sizes"].values()))
            console.print(_table(title, section))
            console.print()
    console.print("next", style="bold", highlight=False)
    console.print(description["next"], markup=False, highlight=False, soft_wrap=True)


def _gaps(counts: Mapping[str, int], values: int) -> dict[str, str]:
    """Return the rules that mark gaps, with the number and the share of the values; rules without gaps are left out."""
    found = {rule: f"{count:,} ({count / values:.1%} of all values)" for rule, count in counts.items() if count}
    return found or {"none": "every value is observed"}


def _table(title: str, section: dict[str, Any]) -> "Table":
    """Return a section as two columns: names and values."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title.replace("_", " "), title_justify="left", title_style="bold", box=None)
    table.show_header = False
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in section.items():
        if name in _IN_DAYS and isinstance(value, float):
            name, value = name.removesuffix("_days"), duration(value)
        elif name in _PER_DAY and isinstance(value, float):
            name, value = name.removesuffix("_per_day"), rate(value)
        # Rules for missing values are named like attributes, which keep their underscores.
        has_names = title in ("gaps", "masks_and_flags")
        table.add_row(Text(name if has_names else name.replace("_", " ")), Text(_text(name, value)))
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
