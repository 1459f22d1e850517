"""Names to choose from: found whatever their case, and suggested where they are misspelt."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any

from geogan.operators.errors import InputError

# Characters of a misspelt name that are repeated, and compared with others: comparing takes time of their product.
_SHOWN = 80


def choice(name: Any, known: Collection[str], what: str, *, more: str = "") -> str:
    """Return the name that is meant, as it is written in the list.

    Parameters
    ----------
    name : str
        In capitals or not, with dashes or underscores, as one likes.
    known : collection of str
    what : str
        What it names, such as ``"operator"``.
    more : str
        Follows the list in the sentence, where there is more to choose from.

    Raises
    ------
    InputError
        If none is meant, with the nearest one and the list.

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
    meant = matching(name, known)
    if meant is None:
        given = repr(name) if len(str(name)) <= _SHOWN else f"{str(name)[:_SHOWN]!r}..."
        raise InputError(
            f"no {what} is named {given}; choose from {', '.join(map(str, known))}{more}{suggestion(name, known)}"
        )
    return meant


def matching(name: Any, known: Iterable[str]) -> str | None:
    """Return the name of a list that is meant: the very one, or the only one that differs in capitals or dashes.

    Examples
    --------
    >>> matching("SST", ["sst", "chl"]), matching("Sst", ["sst", "SST"])
    ('sst', None)
    """
    names = [str(each) for each in known]
    if str(name) in names:
        return str(name)
    alike = [each for each in names if _plain(each) == _plain(name)]
    return alike[0] if len(alike) == 1 else None


def suggestion(name: Any, known: Iterable[str]) -> str:
    """Return the clause that suggests the nearest name of a list; empty where none is near.

    Examples
    --------
    >>> suggestion("ssst", ["sst", "chl"]), suggestion("salt", ["sst", "chl"])
    ("; did you mean 'sst'", '')
    """
    plain = {_plain(each): str(each) for each in known}
    near = difflib.get_close_matches(_plain(name)[:_SHOWN], plain, n=1, cutoff=0.65)
    return f"; did you mean {plain[near[0]]!r}" if near else ""


def _plain(name: Any) -> str:
    return unicodedata.normalize("NFKC", str(name)).strip().casefold().replace("-", "_").replace(" ", "_")
