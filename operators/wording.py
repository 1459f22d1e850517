"""Write numbers with their nouns in messages."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun, in the singular for 1.

    Parameters
    ----------
    number : int
    noun : str
        In the singular.
    plural : str
        Plural of an irregular noun; by default the noun and an s.

    Examples
    --------
    >>> counted(1, "date"), counted(2400, "cell"), counted(2, "process", "processes")
    ('1 date', '2,400 cells', '2 processes')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
