"""Values that the shell completes: operators, methods, presets, and the variables of the data."""

from collections.abc import Callable, Iterable

import typer

Completer = Callable[[typer.Context, str], list[str]]

_TRANSFORMS = ("none", "log", "circular", "bounded:0,1", "bounded:0,inf")
_DOMAINS = ("observed", "all", "sea", "land")


def complete_operator(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the operators; `auto` is the one whose gaps look most like the real ones."""
    from geogan.operators.parse import known_operators

    return _beginning(["auto", *known_operators()], incomplete)


def complete_method(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the methods that can be scored, also behind a comma."""
    from geogan.evaluation import METHODS

    return _beginning([*METHODS, "all"], incomplete)


def complete_preset(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the presets."""
    from geogan.presets import PRESETS

    return _beginning(PRESETS, incomplete)


def complete_transform(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the transforms, also behind a comma."""
    return _beginning(_TRANSFORMS, incomplete)


def complete_device(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the kinds of device."""
    return _beginning(("auto", "cpu", "cuda"), incomplete)


def complete_variable(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the variables of the data that the command line names, also behind a comma."""
    return _beginning(_variables(ctx), incomplete)


def complete_domain(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the words for a domain, and the variables of the data."""
    return _beginning([*_DOMAINS, *_variables(ctx)], incomplete)


def _variables(ctx: typer.Context) -> list[str]:
    # While a command line is completed, click leaves the words of the first argument among the rest.
    data = ctx.params.get("data_option") or ctx.params.get("data") or ctx.args
    if not data:
        return []
    from geogan.io import Reading, variable_names

    try:
        reading = Reading.of(ctx.params.get("group"), ctx.params.get("dims"))
        return variable_names(data, reading=reading)
    except Exception:
        # The verb says why the data cannot be read; a completion has no place for it.
        return []


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin as the text behind the last comma does, with what is before it."""
    before, comma, word = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in names if name.startswith(word)]
