"""The home folder, and names that no file system accepts, in every function that takes a path."""

from pathlib import Path

import pytest

import geogan
from geogan.files.user_path import user_path
from geogan.io import open_field
from geogan.model import load_model, save_model
from geogan.operators.errors import InputError
from geogan.pipelines.plot import plot
from geogan.product import write_dataset


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_home_folder_is_found_everywhere(home, film, model):
    film().to_netcdf(home / "sst_1.nc")
    assert open_field("~/sst_1.nc").name == open_field("~/sst_*.nc").name == "sst"
    assert open_field([Path("~/sst_1.nc")]).name == "sst"
    assert save_model("~/run", model) == home / "run"
    assert load_model("~/run").variable == "sst"
    assert geogan.Reconstructor.load("~/run").model_.variable == "sst"
    assert geogan.Reconstructor.load("~/run").save(Path("~/again")) == home / "again"
    assert write_dataset(film()[["sst"]], "~/out.nc") == home / "out.nc"
    assert plot("~/sst_1.nc", "~/map.png") == home / "map.png" and (home / "map.png").is_file()


@pytest.mark.parametrize(
    "path, words",
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("a\0b", "NUL character"),
        ("~nobody_at_all/a.nc", "unknown user"),
        ("a" * 256, "has 256 bytes"),
        ("ä" * 128, "has 256 bytes"),
        ("a/" * 2048 + "bb", "has 4098 bytes"),
        (3, "must be a text or a Path"),
        (None, "must be a text or a Path"),
    ],
)
def test_an_invalid_path_is_refused(path, words):
    with pytest.raises(InputError, match=words) as raised:
        user_path(path)
    assert len(str(raised.value)) < 300 and "\0" not in str(raised.value)


def test_path_objects_are_accepted():
    assert user_path(Path("a/b")) == Path("a/b")
    assert user_path("a" * 255) == Path("a" * 255)
