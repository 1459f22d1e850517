"""One folder takes another's place: at every moment something whole is there."""

import errno

import pytest

from geogan.files import swap


def folder(path, text):
    path.mkdir()
    (path / "zarr.json").write_text(text)
    return path


@pytest.mark.parametrize("can", [True, False])
def test_the_new_one_takes_the_name(tmp_path, monkeypatch, can):
    if not can:
        monkeypatch.setattr(swap, "exchange", lambda one, other: False)
    old, new = folder(tmp_path / "out.zarr", "old"), folder(tmp_path / "new.zarr", "new")
    swap.replace(old, new, tmp_path / "aside")
    assert (old / "zarr.json").read_text() == "new"
    swap.replace(tmp_path / "free.zarr", old, tmp_path / "aside")
    assert (tmp_path / "free.zarr" / "zarr.json").read_text() == "new" and not old.exists()


def test_files_are_replaced_in_one_move(tmp_path):
    old, new = tmp_path / "out.nc", tmp_path / "new.nc"
    old.write_text("old")
    new.write_text("new")
    swap.replace(old, new, tmp_path / "aside")
    assert [path.name for path in tmp_path.iterdir()] == ["out.nc"] and old.read_text() == "new"


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    monkeypatch.setattr(swap, "exchange", lambda one, other: False)
    old = folder(tmp_path / "out.zarr", "old")
    with pytest.raises(FileNotFoundError):
        swap.replace(old, tmp_path / "nothing", tmp_path / "aside")
    assert (old / "zarr.json").read_text() == "old"


def test_what_cannot_change_places_says_so(tmp_path):
    old = folder(tmp_path / "out.zarr", "old")
    try:
        assert swap.exchange(old, tmp_path / "nothing") is False  # a system without it
    except OSError as error:
        assert error.errno == errno.ENOENT
