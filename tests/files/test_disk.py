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
        (errno.ENOSPC, "the disk is full; make room"),
        (errno.EDQUOT, "the disk is full; make room"),
        (errno.EROFS, "the folder some is read-only; give another place"),
        (errno.EACCES, "the folder some is read-only; give another place"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_what_the_system_says_is_one_sentence(code, words, kept):
    with pytest.raises(InputError) as caught, writing(Path("some/out.zarr"), kept=kept):
        raise OSError(code, os.strerror(code))
    rest = "" if kept is None else "; what is done is kept in there, run again to go on"
    assert str(caught.value) == f"some/out.zarr cannot be written: {words}{rest}"
    assert isinstance(caught.value.__cause__, OSError)


def test_other_errors_pass():
    with pytest.raises(ValueError, match="mine"), writing(Path("out.zarr")):
        raise ValueError("mine")
