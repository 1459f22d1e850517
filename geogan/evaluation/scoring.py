"""Settings of a league table: methods, number of members, categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from geogan.evaluation.methods import DEFAULT_METHODS, METHODS
from geogan.operators.choices import matching, suggestion
from geogan.operators.errors import InputError
from geogan.settings import check_settings

CATEGORIES = ("distance", "cloud", "season")
"""Categories for which scores can be reported separately."""


@dataclass(frozen=True)
class Scoring:
    """What to score.

    Attributes
    ----------
    methods : sequence of str
        Names of :data:`METHODS`; one text may hold several, with commas between, and ``"all"`` stands for every
        method. By default :data:`DEFAULT_METHODS`.
    members : int
        Number of ensemble members of the models and of the first guess. Two or more are scored as an ensemble, with
        their power spectra.
    by : sequence of str
        Names of :data:`CATEGORIES`: scores by distance to the nearest observation, cloud fraction, or season.

    Raises
    ------
    InputError
        If a name is unknown, or the number of members is not a positive whole number.

    Examples
    --------
    >>> Scoring(methods="Model, linear-time,model").methods
    ('model', 'linear_time')
    """

    methods: Sequence[str] | str = ()
    members: int = 1
    by: Sequence[str] | str = ()

    def __post_init__(self) -> None:
        check_settings({"members": self.members})
        methods = METHODS if "all" in map(str.casefold, _split(self.methods)) else _split(self.methods)
        object.__setattr__(self, "methods", _chosen("method", methods, METHODS) or DEFAULT_METHODS)
        object.__setattr__(self, "by", _chosen("category", _split(self.by), CATEGORIES))


def _split(names: Sequence[str] | str) -> list[str]:
    """Return the names in a text, or in several texts, with commas between."""
    texts = [names] if isinstance(names, str) else names
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def _chosen(noun: str, names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return known names, each once, whatever their case."""
    chosen = []
    for name in names:
        match = matching(name, known)
        if match is None:
            raise InputError(f"unknown {noun} {name!r}; choose from {', '.join(known)}{suggestion(name, known)}")
        chosen.append(match)
    return tuple(dict.fromkeys(chosen))
