"""Where a verb says what it does: the one way to the terminal, which no text of a file can command."""

import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from geogan.files.printable import printable, sentence

if TYPE_CHECKING:
    from rich.console import Console


def make_console(*, results: bool = False) -> "Console":
    """Results go to stdout, all else to stderr, so that output can be piped."""
    # Only when a verb needs it: it takes as long to import as all else that --help needs.
    from geogan.cli.plain_console import PlainConsole

    return PlainConsole(stderr=not results, markup=False, emoji=False)


def echo(text: Any, *, err: bool = False) -> None:
    """Write a line to stdout, or to stderr, as it is but for characters that could command the terminal."""
    typer.echo(printable(str(text)), err=err)


def echo_error(error: object) -> None:
    """Write an error to stderr as one sentence on one line."""
    typer.echo(sentence(str(error)), err=True)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Write warnings of libraries as plain text, and leave out what they would log: errors say what matters."""
    last = logging.lastResort
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        logging.lastResort = logging.NullHandler()
        try:
            yield
        finally:
            logging.lastResort = last


def show_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write the traceback of a defect as plain text, for ``sys.excepthook``."""
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace))))


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    echo(warnings.formatwarning(message, category, filename, lineno).rstrip("\n"), err=True)
