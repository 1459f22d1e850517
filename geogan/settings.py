"""Settings of a training, a fill and an evaluation: what each may be, for the command line and for Python alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from geogan.operators.choices import matching
from geogan.operators.errors import InputError
from geogan.operators.parameters import real_number, switch, whole_number

# Cells that a training window needs each way.
SMALLEST_CROP = 8
# Seeds fill 63 bits, the width of a signed integer in the generators of NumPy and torch.
LARGEST_SEED = 2**63 - 1
# Members of an ensemble are held in memory side by side, each as large as the field.
MOST_MEMBERS = 10_000
# A process with more threads than this only switches between them.
MOST_THREADS = 4096
# A training of a billion steps takes years.
MOST_STEPS = 10**9
# Limits that no machine reaches, and none wider than those of `geogan.files.schema`, which reads what a run says of
# itself.
MOST_WIDTH, MOST_BATCH, LARGEST_CROP, LARGEST_WINDOW = 8192, 2**16, 2**20, 5000

Check = Callable[[str, Any], Any]


def one_of(*choices: str) -> Check:
    """Return the check of a text that must be one of a few."""

    def check(name: str, value: Any) -> str:
        meant = matching(value, choices) if isinstance(value, str) else None
        if meant is None:
            raise InputError(
                f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, got {value!r}; give one of these"
            )
        return meant

    return check


def names(name: str, value: Any) -> str | tuple[str, ...]:
    """Return a name, or several, as they were given.

    Raises
    ------
    InputError
        If the value is neither a text nor a sequence of texts.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence) or not all(isinstance(part, str) for part in value):
        raise InputError(f"{name} must be a name or several names, got {value!r}; give texts")
    return tuple(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} must be a text, got {value!r}; give a name")
    return value


def _noise(name: str, value: Any) -> float:
    try:
        return real_number(name, value, least=0)
    except InputError:
        raise InputError(
            f"{name} is a standard deviation in the units of the field, got {value!r}; give a positive number"
        ) from None


def _betas(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise InputError(f"{name} must be two numbers of at least 0 and less than 1, got {value!r}; give (0.9, 0.999)")
    return tuple(real_number(name, part, least=0, below=1) for part in value)  # type: ignore[return-value]


_share, _positive = (
    partial(real_number, least=0, most=1),
    partial(real_number, above=0),
)
_weight = partial(real_number, least=0)


def _screen(name: str, value: Any) -> bool | float:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    try:
        return real_number(name, value, least=1, most=1e6)
    except InputError as error:
        raise InputError(f"{error}, or true for the default") from None


CHECKS: dict[str, Check] = {
    "window": partial(whole_number, least=0, most=LARGEST_WINDOW),
    "width": partial(whole_number, least=2, most=MOST_WIDTH),
    "show_mask": switch,
    "members": partial(whole_number, least=1, most=MOST_MEMBERS),
    "weight_prior": _weight,
    "weight_likelihood": _weight,
    "weight_withheld": _weight,
    "weight_paired": _weight,
    "clean_unrelated": switch,
    "first_guess": switch,
    "transform": _text,
    "covariates": names,
    "noise": _noise,
    "screen": _screen,
    "batch": partial(whole_number, least=1, most=MOST_BATCH),
    "crop": partial(whole_number, least=SMALLEST_CROP, most=LARGEST_CROP),
    "steps": partial(whole_number, least=0, most=MOST_STEPS),
    "minutes": _weight,
    "rate_generator": _weight,
    "rate_discriminator": _weight,
    "betas": _betas,
    "decay": _positive,
    "decay_every": partial(whole_number, least=1, most=MOST_STEPS),
    "cooling": _share,
    "warm_up": partial(whole_number, least=0, most=MOST_STEPS),
    "clip": _positive,
    "likelihood_every": partial(whole_number, least=1, most=MOST_STEPS),
    "averaging": partial(real_number, least=0, below=1),
    "precision": one_of("auto", "float32", "bfloat16"),
    "seed": partial(whole_number, least=0, most=LARGEST_SEED),
    "threads": partial(whole_number, least=1, most=MOST_THREADS),
    "keep_observed": switch,
    "workers": partial(whole_number, least=1, most=MOST_THREADS),
}
"""How each setting is checked; a check is given the setting's name and value, and returns the value."""

OPTIONAL = frozenset({"noise", "steps", "minutes", "betas", "clip", "threads", "keep_observed", "workers"})
"""Settings that may be None, which leaves them open."""


def check_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check settings by their names; those that have no check here are left as they are.

    Parameters
    ----------
    settings : mapping
        Values by name.

    Returns
    -------
    settings : dict
        Numbers of NumPy have become Python's own, so that JSON can hold them.

    Raises
    ------
    InputError
        If one has another type, is not finite, or lies outside its range: with its name, the range and the value.

    Examples
    --------
    >>> check_settings({"window": 2, "minutes": None})
    {'window': 2, 'minutes': None}
    >>> check_settings({"threads": 2.5})
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: threads must be a whole number between 1 and 4096, got 2.5; give such a number
    """
    checked = {}
    for name, value in settings.items():
        is_open = value is None and name in OPTIONAL
        checked[name] = value if is_open or name not in CHECKS else CHECKS[name](name, value)
    return checked
