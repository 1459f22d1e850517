"""One process at a time, where the file system can tell."""

import errno
import os

import pytest

from geogan.lock import take_lock

fcntl = pytest.importorskip("fcntl")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch, code):
    def none(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", none)
    os.close(take_lock(tmp_path / ".out.zarr.partial", tmp_path / "out.zarr"))
    assert (tmp_path / ".out.zarr.partial" / "lock").read_text() == f"pid {os.getpid()}"
