"""Names lead to files, stores and URLs; other names are refused in one sentence."""

import subprocess
import sys

import numpy as np
import pytest

from geogan.io import files, open_field
from geogan.io.files import is_opendap
from geogan.operators.errors import InputError


def test_names_that_lead_nowhere(tmp_path):
    for name, words in [
        (tmp_path / "no.nc", r"no\.nc' does not exist; give a Zarr store"),
        (tmp_path / "no" / "no.nc", "the folder .* does not exist either"),
        (tmp_path / "*.nc", "no file matches"),
        ([], "no file is named"),
        ("", "the name of the data is empty"),
    ]:
        with pytest.raises(InputError, match=words):
            open_field(name)


def test_files_that_are_something_else(tmp_path, film, to_store):
    (tmp_path / "a.nc").write_text("lat,lon,sst\n")
    (tmp_path / "e.nc").write_bytes(b"")
    (tmp_path / "g.grib").write_bytes(b"GRIB....")
    (tmp_path / "folder").mkdir()
    film().to_netcdf(tmp_path / "folder" / "a.nc")
    for name, words in [
        ("a.nc", "is not a Zarr store or a NetCDF file; give one of them$"),
        ("e.nc", "is empty; copy"),
        ("g.grib", "convert GRIB to NetCDF first"),
        ("folder", r"is a folder without zarr.json.*to read the NetCDF files in it, give '.*/folder/\*\.nc'"),
    ]:
        with pytest.raises(InputError, match=words):
            open_field(tmp_path / name)
    to_store(film(), tmp_path / "a.zarr", zarr_format=2)
    with pytest.raises(InputError, match="is one Zarr array, where a group"):
        open_field(tmp_path / "a.zarr" / "sst")


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_64BIT", "NETCDF3_CLASSIC"])
@pytest.mark.parametrize("share", [0.9, 0.1])
def test_a_netcdf_cut_short_is_noticed(tmp_path, form, share, film):
    path = tmp_path / "a.nc"
    film(200).to_netcdf(path, format=form, unlimited_dims=["time"] if form == "NETCDF3_CLASSIC" else None)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(
        InputError, match=r"a\.nc cannot be read: it is damaged or cut short .*; copy or write it again"
    ):
        open_field(path)


def test_times_that_cannot_be_decoded(tmp_path, film):
    dataset = film().drop_vars("time").assign_coords(time=("time", np.arange(6), {"units": "moons since 2001-01-01"}))
    dataset.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"the times of .*a\.nc cannot be decoded"):
        open_field(tmp_path / "a.nc")


def test_object_stores_name_the_package_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(InputError, match=r"pip install 'geogan\[cloud\]'"):
        open_field("s3://bucket/a.zarr")


@pytest.mark.parametrize(
    ("path", "is_served"),
    [
        ("https://server/thredds/dodsC/sst/a.nc", True), ("http://server/opendap/hyrax/a.nc", True),
        ("http://server/opendap/a.nc.nc4", False), ("dap2://server/a", True), ("dap4://server/a.nc", True),
        ("https://server/erddap/griddap/jplMURSST41", True), ("https://server/erddap/griddap/jplMURSST41.nc", False),
        ("https://server/thredds/fileServer/a.nc", False), ("https://server/a.zarr", False),
        ("s3://b/dodsC/a.nc", False),
        ("/data/opendap/a.nc", False),
    ],
)  # fmt: skip
def test_addresses_read_through_opendap(path, is_served):
    assert is_opendap(path) == is_served


def test_opendap_addresses_are_opened_in_place(monkeypatch, film):
    """The NetCDF library gets the address itself; nothing is copied."""
    opened = []

    def remember(path, **options):
        opened.append((path, options["engine"]))
        return film()

    monkeypatch.setattr(files.xr, "open_dataset", remember)
    assert "sst" in files.open_dataset("dap4://server/a.nc")
    assert "sst" in files.open_dataset("https://server/thredds/dodsC/a.nc")
    assert opened == [("http://server/a.nc#mode=dap4", "netcdf4"), ("https://server/thredds/dodsC/a.nc", "netcdf4")]


def test_an_opendap_address_without_a_server():
    with pytest.raises(InputError, match=r"dodsC/a\.nc cannot be read through OPeNDAP"):
        files.open_dataset("http://127.0.0.1:9/thredds/dodsC/a.nc")


def test_a_file_with_texts_is_opened_again_and_again(tmp_path, film):
    """This runs in a separate process, because the NetCDF library may crash when such a file is opened twice."""
    dataset = film()
    texts = [f"day {date}" for date in range(dataset.sizes["time"])]
    dataset.assign_coords(label=("time", texts)).to_netcdf(tmp_path / "texts.nc")
    line = [sys.executable, "-m", "geogan", "info", str(tmp_path / "texts.nc")]
    assert subprocess.run(line, capture_output=True).returncode == 0


def test_a_file_that_was_replaced_is_opened_anew(tmp_path, film):
    dataset, path = film(), tmp_path / "a.nc"
    dataset.to_netcdf(path)
    before = open_field(path)
    (dataset + 1).to_netcdf(tmp_path / "b.nc")
    (tmp_path / "b.nc").replace(path)
    after = open_field(path)
    np.testing.assert_allclose(after.values, before.values + 1)
