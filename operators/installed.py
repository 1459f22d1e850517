"""Operators of other packages, which register them in the entry-point group ``geogan.operators``."""

from __future__ import annotations

import warnings
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

GROUP = "geogan.operators"


@cache
def installed_operators(taken: tuple[str, ...]) -> dict[str, type]:
    """Return the operator classes of installed packages by their names.

    A class that cannot be used is named in a warning and left out: one that fails to import, is no frozen dataclass
    with a default for each field, lacks ``sample`` or ``apply``, or has a name that is taken.

    Parameters
    ----------
    taken : tuple of str
        Names that a package may not use.
    """
    found: dict[str, type] = {}
    for entry in entry_points(group=GROUP):
        package = entry.dist.name if entry.dist is not None else entry.value
        if entry.name in (*taken, *found):
            _warn(entry.name, package, "its name is taken")
            continue
        try:
            kind = entry.load()
        except Exception as error:
            _warn(entry.name, package, f"{type(error).__name__}: {error}"[:200])
            continue
        reason = _unusable(kind)
        if reason:
            _warn(entry.name, package, reason)
        else:
            found[entry.name] = kind
    return found


def _unusable(kind: Any) -> str:
    """Return why a class cannot be an operator; empty if it can."""
    if not isinstance(kind, type) or not is_dataclass(kind):
        return "it is not a dataclass"
    if not kind.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return "its dataclass is not frozen"
    missing = [name for name in ("sample", "apply", "noise", "masks", "blurs", "fitted") if not hasattr(kind, name)]
    if missing:
        return f"it has no {', '.join(missing)}; inherit from geogan.operators.Operator"
    try:
        kind()
    except Exception as error:
        names = ", ".join(each.name for each in fields(kind))
        return f"it cannot be made without parameters ({names}): {error}"[:200]
    return ""


def _warn(name: str, package: str, reason: str) -> None:
    warnings.warn(
        f"the operator {name!r} of the package {package} is left out ({reason}); mend or remove that package",
        stacklevel=4,
    )
