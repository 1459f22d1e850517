"""InputError: the error for input that cannot be used."""


class InputError(ValueError):
    """Input that cannot be used; the text says what was expected, what was given and what to do, in one sentence.

    The command line prints only this text and exits with code 2. Any other exception is a defect of geogan and is
    shown with its traceback.

    Examples
    --------
    >>> raise InputError("coverage must lie in (0, 1), got 1.2; give a share such as 0.5")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: coverage must lie in (0, 1), got 1.2; give a share such as 0.5
    """
