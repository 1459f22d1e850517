"""An output that is, lies in or contains an input is refused, by any name."""

import os
from pathlib import Path

import pytest

from geogan.files.places import check_apart
from geogan.operators.errors import InputError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Change to a folder with two stores, a file, a run and links to them, which is also the home folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for store, mark in (("a.zarr", "zarr.json"), ("b.zarr", ".zgroup")):
        Path(store, "sst").mkdir(parents=True)
        Path(store, mark).write_text("{}")
    Path("sea.nc").write_bytes(b"CDF")
    Path("run").mkdir()
    Path("run", "model.safetensors").write_bytes(b"")
    Path("inner").mkdir()
    Path("inner", "sea.nc").write_bytes(b"CDF")
    Path("link.zarr").symlink_to("a.zarr")
    Path("hard.nc").hardlink_to("sea.nc")
    Path("folder").symlink_to(tmp_path)
    Path("loop").symlink_to("loop")
    Path("way[1]").mkdir()
    return tmp_path


SAME = [
    ("a.zarr", "a.zarr"),
    ("./a.zarr", "a.zarr"),
    ("inner/../a.zarr", "a.zarr"),
    ("~/a.zarr", "a.zarr"),
    ("a.zarr", "~/a.zarr"),
    ("link.zarr", "a.zarr"),
    ("a.zarr", "link.zarr"),
    ("folder/a.zarr", "a.zarr"),
    ("a.zarr", "folder/link.zarr"),
    ("hard.nc", "sea.nc"),
    ("sea.nc", ["inner/sea.nc", "hard.nc"]),
    ("run", "run"),
    ("folder/run/", "run"),
]


@pytest.mark.parametrize(("out", "data"), SAME)
def test_one_file_under_two_names(here, out, data):
    with pytest.raises(InputError, match="is the same as --data '.*', which would be lost; give another name"):
        check_apart(out, {"--data": data})


def test_file_urls_and_absolute_names(here):
    for out, data in [(here / "a.zarr", f"file://{here}/a.zarr"), (here / "sea.nc", Path("sea.nc"))]:
        with pytest.raises(InputError, match="is the same as --data"):
            check_apart(out, {"--model": None, "--data": data})


@pytest.mark.parametrize(
    ("out", "data"),
    [
        ("a.zarr/out.zarr", "a.zarr"),
        ("a.zarr/sst/out.zarr", "link.zarr"),
        ("link.zarr/out.zarr", "a.zarr"),
        ("folder/a.zarr/../a.zarr/out.nc", "a.zarr"),
        ("run/out.zarr", "run"),
        ("inner/run", "inner"),
    ],
)
def test_an_output_inside_an_input(here, out, data):
    with pytest.raises(InputError, match="lies inside --data '.*', which is read; give a path outside it"):
        check_apart(out, {"--data": data})


@pytest.mark.parametrize(
    ("out", "data"), [("inner", "inner/sea.nc"), ("folder/inner", "inner/*.nc"), (".", "a.zarr"), ("..", "sea.nc")]
)
def test_an_output_around_an_input(here, out, data):
    with pytest.raises(InputError, match="contains --data '.*', which is read; give a path beside it"):
        check_apart(out, {"--data": data})
    check_apart(out, {"--data": data}, holds=True)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("b.zarr/out.zarr", "which is a Zarr store"),
        ("b.zarr/sst/new/out.zarr", "which is a Zarr store"),
        ("run/out.nc", "which is a run"),
        ("run/figures/map.png", "which is a run"),
    ],
)
def test_an_output_inside_a_store_or_run_that_is_not_an_input(here, out, words):
    with pytest.raises(InputError, match=words):
        check_apart(out, {"--data": "a.zarr"})


def test_a_part_of_a_run_may_lie_in_it(here):
    check_apart("run/without-prior", {"--data": "a.zarr"}, within=Path("run"))
    with pytest.raises(InputError, match="which is a run"):
        check_apart("run/without-prior", {"--data": "a.zarr"}, within=Path("inner"))


@pytest.mark.parametrize(
    ("out", "pattern"),
    [
        ("filled.nc", "*.nc"),
        ("filled.nc", "./f*.nc"),
        ("inner/x.nc", "**/*.nc"),
        ("inner/x.nc", "*/x.n[abc]"),
        ("folder/filled.zarr", "~/*.zarr"),
    ],
)
def test_a_glob_that_would_match_the_output(here, out, pattern):
    with pytest.raises(InputError, match="would be one of the files of --data .* the next time; give a name that"):
        check_apart(out, {"--data": pattern})


@pytest.mark.parametrize(
    ("out", "data"),
    [
        ("filled.zarr", "a.zarr"),
        ("a2.zarr", "a.zarr"),
        ("inner/out.nc", "*.nc"),
        ("out.zarr", "*.nc"),
        ("filled.nc", ["sea.nc", "http://server/filled.nc"]),
        ("filled.nc", "s3://bucket/*.nc"),
        ("way[1]/out.nc", "way[1]"),
        ("s3://bucket/a.zarr", "a.zarr"),
        ("~nobody-of-that-name/x.nc", "a.zarr"),
        ("x" * 300 + ".nc", "y" * 300),
        ("out.nc", "nowhere.nc"),
        ("out\0.nc", "a.zarr"),
    ],
)
def test_separate_paths_are_accepted(here, out, data):
    if out.startswith("way"):
        with pytest.raises(InputError, match="lies inside"):
            check_apart(out, {"--data": data})
        return
    check_apart(out, {"--data": data})


def test_a_circular_link_is_refused(here):
    with pytest.raises(InputError, match="is a link that leads back to itself"):
        check_apart("loop/out.nc", {})


@pytest.mark.skipif(os.name == "nt", reason="needs a case-sensitive file system")
def test_case_matters_on_a_case_sensitive_file_system(here):
    check_apart("SEA.nc", {"--data": "sea.nc"})
