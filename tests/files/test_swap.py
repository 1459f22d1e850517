"""A folder replaces another one: at every moment a complete folder has the name."""

import errno

import pytest

from geogan.files import swap


def folder(path, text):
    path.mkdir()
    (path / "zarr.json").write_text(text)
    return path


def no_exchange(one, other):
    """Stands for a file system that cannot exchange names."""
    return False


@pytest.mark.parametrize("exchange", [swap.exchange, no_exchange])
def test_the_new_folder_gets_the_name(tmp_path, exchange):
    old, new = folder(tmp_path / "out.zarr", "old"), folder(tmp_path / "new.zarr", "new")
    swap.replace(old, new, tmp_path / "aside", exchange=exchange)
    assert (old / "zarr.json").read_text() == "new"
    swap.replace(tmp_path / "free.zarr", old, tmp_path / "aside")
    assert (tmp_path / "free.zarr" / "zarr.json").read_text() == "new" and not old.exists()


def test_files_are_replaced_in_one_move(tmp_path):
    old, new = tmp_path / "out.nc", tmp_path / "new.nc"
    old.write_text("old")
    new.write_text("new")
    swap.replace(old, new, tmp_path / "aside")
    assert [path.name for path in tmp_path.iterdir()] == ["out.nc"] and old.read_text() == "new"


def test_a_failure_keeps_the_old_folder(tmp_path):
    old = folder(tmp_path / "out.zarr", "old")
    with pytest.raises(FileNotFoundError):
        swap.replace(old, tmp_path / "nothing", tmp_path / "aside", exchange=no_exchange)
    assert (old / "zarr.json").read_text() == "old"


def test_an_exchange_with_an_absent_name_fails(tmp_path):
    old = folder(tmp_path / "out.zarr", "old")
    try:
        assert swap.exchange(old, tmp_path / "nothing") is False  # a system without exchange
    except OSError as error:
        assert error.errno == errno.ENOENT
