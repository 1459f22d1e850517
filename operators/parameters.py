"""Checks of numbers and switches that a caller gives: type and range."""

from __future__ import annotations

import math
from dataclasses import MISSING, fields
from numbers import Integral, Real
from typing import Any

from geogan.operators.errors import InputError


def whole_number(name: str, value: Any, *, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number within a range as an ``int``.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : Any
        An ``int`` or a NumPy integer; not a truth value or text.
    least, most : int, optional
        Limits, both included.

    Raises
    ------
    InputError
        If the value is not a whole number or lies outside the limits.

    Examples
    --------
    >>> import numpy as np
    >>> whole_number("members", np.int64(4), least=1)
    4
    """
    if not _is_whole(value):
        raise InputError(f"{name} must be a whole number{_range(least, most)}, got {shown(value)}; give such a number")
    if least is not None and value < least:
        raise InputError(f"{name} must be at least {least}, got {shown(value)}; give a larger one")
    if most is not None and value > most:
        raise InputError(f"{name} must be at most {most}, got {shown(value)}; give a smaller one")
    return int(value)


def real_number(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return a finite number within a range as an ``int`` or ``float``.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : Any
        A number of Python or NumPy; not a truth value or text.
    least, most : float, optional
        Limits, both included.
    above, below : float, optional
        Limits that are not included.

    Raises
    ------
    InputError
        If the value is not a finite number or lies outside the limits.

    Examples
    --------
    >>> real_number("minutes", 2, least=0)
    2
    >>> real_number("minutes", float("nan"), least=0)
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: minutes must be a finite number of 0 or more, got nan; give such a number
    """
    allowed = _range(least, most, above, below)
    if not (_is_whole(value) or _is_real(value)) or not _is_finite(value):
        raise InputError(f"{name} must be a finite number{allowed}, got {shown(value)}; give such a number")
    if least == 0 and value < 0:
        raise InputError(f"{name} must not be negative, got {value}; give a number{allowed}")
    if (
        (least is not None and value < least)
        or (most is not None and value > most)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    ):
        raise InputError(f"{name} must be a number{allowed}, got {value}; give such a number")
    return int(value) if _is_whole(value) else float(value)


def switch(name: str, value: Any) -> bool:
    """Return a truth value as a ``bool``.

    Raises
    ------
    InputError
        If the value is neither true nor false.

    Examples
    --------
    >>> import numpy as np
    >>> switch("first_guess", np.True_)
    True
    """
    if not _is_truth_value(value):
        raise InputError(f"{name} must be true or false, got {shown(value)}; give one of the two")
    return bool(value)


def check_parameters(operator: Any, name: str) -> None:
    """Refuse parameters of an operator that are not numbers, and convert NumPy numbers to Python numbers.

    Parameters
    ----------
    operator : dataclass
        Frozen; changed in place, for use in its ``__post_init__``. A field whose default is a truth value must hold
        one; a field whose default is None may be None.
    name : str
        Name of the operator, for the message.

    Raises
    ------
    InputError
        If a parameter is text, or a truth value where a number is expected, or a number where a truth value is.
    """
    for field in fields(operator):
        if field.default_factory is not MISSING:
            continue  # a list or a mapping, which only operators of users have
        value = getattr(operator, field.name)
        label = f"{field.name} of {name}"
        if isinstance(field.default, bool):
            plain: Any = switch(label, value)
        elif value is None and field.default is None:
            continue
        elif not (_is_whole(value) or _is_real(value)):
            raise InputError(f"{label} must be a number, got {shown(value)}; the default is {field.default}")
        else:
            plain = int(value) if _is_whole(value) else float(value)
        object.__setattr__(operator, field.name, plain)


def _is_whole(value: Any) -> bool:
    """Return whether a value is a whole number; Python counts ``True`` as one, this function does not."""
    return isinstance(value, Integral) and not _is_truth_value(value)


def _is_real(value: Any) -> bool:
    """Return whether a value is a floating-point number of Python or NumPy."""
    return isinstance(value, Real) and not isinstance(value, Integral)


def _is_truth_value(value: Any) -> bool:
    """Return whether a value is a truth value of Python or NumPy, without importing NumPy (0.1 s)."""
    return isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"))


def _is_finite(value: Any) -> bool:
    """Return whether a number is finite and, if it is an integer, within the range of floats."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _range(
    least: float | None, most: float | None = None, above: float | None = None, below: float | None = None
) -> str:
    """Return the words for a range.

    Examples
    --------
    >>> _range(0, 1), _range(1), _range(None, None, 0), _range(0, None, None, 1)
    (' between 0 and 1', ' of 1 or more', ' of more than 0', ' of at least 0 and less than 1')
    """
    if least is not None and most is not None:
        return f" between {least:g} and {most:g}" if most < 1e6 else f" between {least} and {most}"
    if least is not None and below is None:
        return f" of {least:g} or more"
    low = f"more than {above:g}" if above is not None else f"at least {least:g}" if least is not None else ""
    high = f"less than {below:g}" if below is not None else f"{most:g} or less" if most is not None else ""
    text = " and ".join(part for part in (low, high) if part)
    return f" of {text}" if text else ""


def shown(value: Any) -> str:
    """Return a value as text for a message: at most 60 characters, on one line.

    Examples
    --------
    >>> import numpy as np
    >>> shown(True), shown(np.float32(0.5)), shown("none")
    ('true', '0.5', "'none'")
    """
    if _is_truth_value(value):
        return str(value).lower()
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python converts integers of at most 4300 digits to text
        return "a number of more than 4000 digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
