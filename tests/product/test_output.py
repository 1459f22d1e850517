"""The name of an output: which names are refused, and which products are recognised."""

import pytest

from geogan.operators.errors import InputError
from geogan.product import check_output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "the name of a file or folder is empty"),
        ("..", "is not a file name"),
        ("a.zarr/..", "is not a file name"),
        ("out.csv", r"must end in \.zarr or \.nc"),
        ("s3://bucket/out.zarr", "is a URL"),
        ("nowhere/out.zarr", "does not exist; make it first"),
    ],
)
def test_unusable_names_are_refused(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        check_output(name)
    assert list(tmp_path.iterdir()) == []


def test_links_are_refused(tmp_path):
    (tmp_path / "truth.zarr").mkdir()
    (tmp_path / "out.zarr").symlink_to(tmp_path / "truth.zarr")
    with pytest.raises(InputError, match="is a link"):
        check_output(tmp_path / "out.zarr", overwrite=True)
