"""Names to choose from: matched in any case, and suggested for misspelt ones."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any

from geogan.operators.errors import InputError

# Characters of a misspelt name that are shown and compared; the time of a comparison grows with their square.
_LONGEST = 80


def choice(name: Any, known: Collection[str], what: str, *, more: str = "") -> str:
    """Return the matching name of a list, as the list spells it.

    Parameters
    ----------
    name : str
        In any case, with dashes, underscores or spaces.
    known : collection of str
    what : str
        Kind of thing that it names, such as ``"operator"``.
    more : str
        Further choices, as the end of the list in the message.

    Raises
    ------
    InputError
        If no name matches; the message has the list and the nearest name.

    Examples
    --------
    >>> choice("Cloud-Mask", ["cloud_mask", "patch_band"], "operator")
    'cloud_mask'
    >>> choice("cloudmask", ["cloud_mask", "patch_band"], "operator")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: no operator is named 'cloudmask'; choose from cloud_mask,
    patch_band; did you mean 'cloud_mask'
    """
    match = matching(name, known)
    if match is None:
        given = repr(name) if len(str(name)) <= _LONGEST else f"{str(name)[:_LONGEST]!r}..."
        raise InputError(
            f"no {what} is named {given}; choose from {', '.join(map(str, known))}{more}{suggestion(name, known)}"
        )
    return match


def matching(name: Any, known: Iterable[str]) -> str | None:
    """Return the equal name of a list, or the only name that differs in case or dashes; else None.

    Examples
    --------
    >>> matching("SST", ["sst", "chl"]), matching("Sst", ["sst", "SST"])
    ('sst', None)
    """
    names = [str(candidate) for candidate in known]
    if str(name) in names:
        return str(name)
    matches = [candidate for candidate in names if _plain(candidate) == _plain(name)]
    return matches[0] if len(matches) == 1 else None


def suggestion(name: Any, known: Iterable[str]) -> str:
    """Return a clause that suggests the nearest name of a list; empty if none is near.

    Examples
    --------
    >>> suggestion("ssst", ["sst", "chl"]), suggestion("salt", ["sst", "chl"])
    ("; did you mean 'sst'", '')
    """
    plain = {_plain(candidate): str(candidate) for candidate in known}
    near = difflib.get_close_matches(_plain(name)[:_LONGEST], plain, n=1, cutoff=0.65)
    return f"; did you mean {plain[near[0]]!r}" if near else ""


def _plain(name: Any) -> str:
    return unicodedata.normalize("NFKC", str(name)).strip().casefold().replace("-", "_").replace(" ", "_")
