"""The lock of a folder: one process at a time, free after a kill, and foreign files stay."""

import errno
import os
import subprocess
import sys

import pytest

from geogan.files.lock import locked, take_lock
from geogan.operators.errors import InputError

fcntl = pytest.importorskip("fcntl")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP])
def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch, code):
    def none(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", none)
    os.close(take_lock(tmp_path / ".out.zarr.partial", tmp_path / "out.zarr"))
    assert (tmp_path / ".out.zarr.partial" / "lock").read_text() == f"pid {os.getpid()}"


def link(lock, victim):
    lock.symlink_to(victim)


def dangling(lock, victim):
    lock.symlink_to(victim.with_name("nothing"))


def hard_link(lock, victim):
    lock.hardlink_to(victim)


def text(lock, victim):
    lock.write_text("of three years")


def folder(lock, victim):
    lock.mkdir()


def pipe(lock, victim):
    os.mkfifo(lock)


@pytest.mark.parametrize("thing", [link, dangling, hard_link, text, folder, pipe])
def test_a_foreign_file_is_neither_followed_nor_changed(tmp_path, thing):
    partial, victim = tmp_path / ".out.zarr.partial", tmp_path / "thesis.txt"
    partial.mkdir()
    victim.write_text("of three years")
    thing(partial / "lock", victim)
    with pytest.raises(
        InputError, match=r"lock is in the way: it is not a lock of geogan; move it, or give another name"
    ):
        take_lock(partial, tmp_path / "out.zarr")
    assert victim.read_text() == "of three years" and not (tmp_path / "nothing").exists()
    assert thing is not text or (partial / "lock").read_text() == "of three years"


def test_a_lock_left_by_a_kill_is_taken_and_its_holder_is_named(tmp_path):
    partial = tmp_path / ".out.zarr.partial"
    partial.mkdir()
    (partial / "lock").write_text("pid 123456789")
    held = take_lock(partial, tmp_path / "out.zarr")
    assert (partial / "lock").read_text() == f"pid {os.getpid()}"
    with pytest.raises(InputError, match=rf"out.zarr is being written by another process \(pid {os.getpid()}\); wait"):
        take_lock(partial, tmp_path / "out.zarr")
    os.close(held)
    os.close(take_lock(partial, tmp_path / "out.zarr"))


def test_a_folder_that_stays_empty_is_removed_and_one_that_was_there_is_not(tmp_path):
    with locked(tmp_path / "a" / "b", tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / "lock").exists()
    assert not (tmp_path / "a").exists()
    (tmp_path / "c").mkdir()
    with locked(tmp_path / "c", tmp_path / "c"), pytest.raises(InputError, match="being written"):
        take_lock(tmp_path / "c", tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; p = Path(sys.argv[1]); from geogan.files.lock import take_lock; "
    )
    code += "take_lock(p, p); print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=rf"\(pid {process.pid}\)"):
        take_lock(tmp_path / "run", tmp_path / "run")
    process.kill()
    process.communicate()
    os.close(take_lock(tmp_path / "run", tmp_path / "run"))
