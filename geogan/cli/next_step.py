"""The last line of a verb: the command to run next."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Files whose names a command line shows; of more, it shows a placeholder.
_SHOWN_FILES = 3


def print_next(console: "Console | None", command: str) -> None:
    """Print the command to run next as the last line; nothing without a console."""
    if console is not None:
        console.print(f"next: {command}", markup=False, highlight=False, soft_wrap=True)


def shown_data(data: str | Path | Sequence[str | Path]) -> str:
    """Return data as words of a command line; DATA for many files.

    Examples
    --------
    >>> shown_data(["a b.nc", "c.nc"]), shown_data("sst_*.nc"), shown_data(["a"] * 9)
    ("'a b.nc' c.nc", "'sst_*.nc'", 'DATA')
    """
    names = [str(data)] if isinstance(data, str | Path) else [str(name) for name in data]
    return shlex.join(names) if 0 < len(names) <= _SHOWN_FILES else "DATA"
