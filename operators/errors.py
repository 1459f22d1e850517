"""The one error that means: what was given cannot be used."""


class InputError(ValueError):
    """What was expected, what came, what to do, in one sentence.

    The command line shows its text alone and exits with code 2; any other exception is a defect of
    geogan and keeps its traceback.

    Examples
    --------
    >>> raise InputError("coverage must lie in (0, 1), got 1.2; give a share such as 0.5")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: coverage must lie in (0, 1), got 1.2; give a share such as 0.5
    """
