"""Where a verb says what it does."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def make_console(*, results: bool = False) -> "Console":
    """Results go to stdout, all else to stderr, so that output can be piped."""
    from rich.console import Console

    return Console(stderr=not results)
