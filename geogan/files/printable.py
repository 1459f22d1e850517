"""Text of files as a terminal may show it: no escape sequences, no control characters, no change of direction."""

from __future__ import annotations

import unicodedata

# Control, format (which holds the marks of direction), surrogate, private and unassigned characters, line separators.
_UNSAFE = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
# Characters of a sentence; of a longer one the middle is left out, for its beginning and its remedy to be seen.
_MOST = 580


def printable(text: str, *, lines: bool = True) -> str:
    """Return a text with every character that could command a terminal written out.

    Parameters
    ----------
    text : str
    lines : bool
        Keep line breaks; otherwise they become spaces, so that a name cannot begin a line of its own.

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
        character if character == "\n" or unicodedata.category(character) not in _UNSAFE else _written(character)
        for character in text
    )


def sentence(text: str) -> str:
    """Return the text of an error on one line of bounded length.

    Examples
    --------
    >>> len(sentence("a" * 5000 + "; give a shorter name"))
    580
    """
    line = printable(text, lines=False)
    if len(line) <= _MOST:
        return line
    half = (_MOST - 5) // 2
    return f"{line[: _MOST - 5 - half]} ... {line[-half:]}"


def _written(character: str) -> str:
    return " " if character == "\t" else character.encode("unicode_escape").decode("ascii")
