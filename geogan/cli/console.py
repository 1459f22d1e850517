"""Output to the terminal: text of files cannot control the terminal."""

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


def make_console(*, results: bool = False, quiet: bool = False) -> "Console | None":
    """Return a console on stdout for results, or on stderr for messages, so that results can be piped.

    With ``quiet`` there is none for messages.
    """
    if quiet and not results:
        return None
    # rich takes as long to import as all else that --help needs.
    from geogan.cli.plain_console import PlainConsole

    return PlainConsole(stderr=not results, markup=False, emoji=False)


def echo(text: Any, *, err: bool = False) -> None:
    """Write a line to stdout or stderr; characters that could control the terminal are escaped."""
    typer.echo(printable(str(text)), err=err)


def echo_error(error: object) -> None:
    """Write an error to stderr as one sentence on one line."""
    typer.echo(sentence(str(error)), err=True)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Write warnings of libraries as plain text, and suppress their log messages."""
    last = logging.lastResort
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        logging.lastResort = logging.NullHandler()
        try:
            yield
        finally:
            logging.lastResort = last


def show_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write the traceback of a defect as plain text; this is a ``sys.excepthook``."""
    sys.stderr.write(printable("".join(traceback.format_exception(kind, error, trace))))


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    echo(warnings.formatwarning(message, category, filename, lineno).rstrip("\n"), err=True)
