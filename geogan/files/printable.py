"""Make text from files safe for a terminal: no escape sequences, no control characters, no change of direction."""

from __future__ import annotations

import unicodedata

# Unicode categories: control, format (with the marks of direction), surrogate, private, unassigned, line separators.
_UNSAFE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def printable(text: str, *, lines: bool = True) -> str:
    """Return a text in which every character that could control a terminal is escaped.

    Parameters
    ----------
    text : str
    lines : bool
        Keep line breaks; otherwise they become spaces, so that a file name cannot start a new line.

    Examples
    --------
    >>> printable("\\x1b[31mred\\x07")
    '\\\\x1b[31mred\\\\x07'
    >>> printable("two\\nlines", lines=False)
    'two lines'
    """
    if text.isascii() and text.isprintable():
        return text
    if not lines:
        text = " ".join(text.split("\n"))
    return "".join(
        character if character == "\n" or unicodedata.category(character) not in _UNSAFE else _escaped(character)
        for character in text
    )


def sentence(text: str) -> str:
    """Return the text of an error on one line of at most 580 characters.

    The middle of a longer text is left out, so that its beginning and its remedy stay.

    Examples
    --------
    >>> len(sentence("a" * 5000 + "; give a shorter name"))
    580
    """
    most, dots = 580, " ... "
    line = printable(text, lines=False)
    if len(line) <= most:
        return line
    half = (most - len(dots)) // 2
    return line[: most - len(dots) - half] + dots + line[-half:]


def _escaped(character: str) -> str:
    return " " if character == "\t" else character.encode("unicode_escape").decode("ascii")
