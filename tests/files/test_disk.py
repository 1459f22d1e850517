"""Promises of the sentences about disks."""

import errno
import os
from pathlib import Path

import pytest

from geogan.files.disk import writing
from geogan.operators.errors import InputError


@pytest.mark.parametrize("kept", [None, Path("there")])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "the disk is full; free some space"),
        (errno.EROFS, "the folder some is read-only; give another folder"),
        (errno.EACCES, "the folder some is read-only; give another folder"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_an_error_of_the_system_is_one_sentence(code, words, kept):
    with pytest.raises(InputError) as caught, writing(Path("some/out.zarr"), kept=kept):
        raise OSError(code, os.strerror(code))
    rest = "" if kept is None else "; what is done is kept in there, run again to resume"
    assert str(caught.value) == f"some/out.zarr cannot be written: {words}{rest}"
    assert isinstance(caught.value.__cause__, OSError)


def test_other_errors_pass():
    with pytest.raises(ValueError, match="mine"), writing(Path("out.zarr")):
        raise ValueError("mine")
