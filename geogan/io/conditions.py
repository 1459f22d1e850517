"""Conditions on other variables of a file, such as ``quality_level>=4``: cells that fail a condition are gaps."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from geogan.fields.marks import GAP_RULES, rule_mark
from geogan.operators.errors import InputError

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
    "=": operator.eq,
}  # fmt: skip
_NUMBER = r"[+-]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_CONDITION = re.compile(
    r"\s*(?P<open>\()?\s*(?P<name>[A-Za-z_][\w.]*)\s*"
    rf"(?:&\s*(?P<bits>0[xX][0-9a-fA-F]+|\d+)\s*)?(?P<close>\))?\s*(?P<compare><=|>=|==|!=|=|<|>)\s*(?P<number>{_NUMBER})\s*"
)
_AND = re.compile(r"(?:and\b|&&|&|,)", re.IGNORECASE)
# Most conditions in one text; more are a mistake or an attempt to make reading slow.
_MOST = 32


class Condition(NamedTuple):
    """One comparison of a variable, or of some of its bits, with a number.

    Parameters
    ----------
    name : str
        The variable.
    bits : int or None
        Mask of the bits that are compared; None for the value itself.
    compare : str
        ``<``, ``<=``, ``>``, ``>=``, ``==`` or ``!=``.
    number : float
    """

    name: str
    bits: int | None
    compare: str
    number: float

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return where the condition holds; a missing value fails every condition.

        Examples
        --------
        >>> Condition("quality", None, ">=", 4).holds(np.array([3.0, 4.0, np.nan])).tolist()
        [False, True, False]
        >>> Condition("flags", 4, "==", 0).holds(np.array([0, 4, 6, 3])).tolist()
        [True, False, False, True]
        """
        known = np.ones(values.shape, bool) if values.dtype.kind in "biu" else np.isfinite(values)
        if self.bits is not None:
            whole = np.where(known, values, 0)
            # Flags are whole numbers, whose decoded type may be floating point.
            known &= whole == np.floor(whole)
            values = whole.astype(np.int64) & self.bits
        return known & _COMPARISONS[self.compare](values, self.number)


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """Return the conditions of a text, all of which must hold.

    Parameters
    ----------
    text : str
        Comparisons of a variable with a number, joined by ``and``, ``&`` or commas; ``flags & 4 == 0`` compares bits.

    Raises
    ------
    InputError
        If the text is not a list of such comparisons.

    Examples
    --------
    >>> parse_conditions("quality_level>=4 and flags & 0x10 == 0")[1]
    Condition(name='flags', bits=16, compare='==', number=0.0)
    """
    conditions: list[Condition] = []
    position = 0
    while True:
        match = _CONDITION.match(text, position)
        if match is None or bool(match["open"]) != bool(match["close"]) or len(conditions) == _MOST:
            break
        number = match["number"]
        value = float(int(number, 16)) if "x" in number.lower() else float(number)
        compare = "==" if match["compare"] == "=" else match["compare"]
        bits = None if match["bits"] is None else int(match["bits"], 0)
        conditions.append(Condition(match["name"], bits, compare, value))
        position = match.end()
        if position == len(text):
            return tuple(conditions)
        conjunction = _AND.match(text, position)
        if conjunction is None:
            break
        position = conjunction.end()
    raise InputError(
        f"the condition {text[:100]!r} is not understood at {text[position : position + 30]!r}; write a variable, a "
        "comparison and a number, such as 'quality_level>=4', several joined by 'and', bits of flags as "
        "'flags & 4 == 0'"
    )


def kept(values: np.ndarray, holds: np.ndarray) -> np.ndarray:
    """Return values with a marked gap where a condition does not hold.

    Whole numbers become floats of a type that represents them.
    """
    kind = values.dtype if values.dtype.kind == "f" else np.result_type(values.dtype, np.float32)
    values = values.astype(kind)
    values[~holds & ~np.isnan(values)] = rule_mark(values.dtype, GAP_RULES.index("condition"))
    return values
