"""GeoTIFF files are read through rioxarray, an extra; without it one sentence says so."""

import importlib.util
import sys

import numpy as np
import pytest
import xarray as xr
from runs import QUICK, make_reconstructor

import geogan
from geogan.io import open_source
from geogan.io.geotiff import is_geotiff
from geogan.operators.errors import InputError

needs_rioxarray = pytest.mark.skipif(
    importlib.util.find_spec("rioxarray") is None, reason="rioxarray, the extra geotiff, is not installed"
)


def raster(
    folder, name, *, bands=1, kind="float32", nodata=-9999, crs="EPSG:32633", seed=0, descriptions=None, scale=1.0
):
    import rasterio
    from rasterio.transform import from_origin

    values = np.random.default_rng(seed).integers(0, 100, (bands, 12, 14)).astype(kind)
    values[:, 3:6, seed % 5 : seed % 5 + 5] = nodata
    profile = {
        "driver": "GTiff",
        "height": 12,
        "width": 14,
        "count": bands,
        "dtype": kind,
        "nodata": nodata,
        "crs": crs,
    }
    with rasterio.open(folder / name, "w", transform=from_origin(5e5, 4.9e6, 30, 30), **profile) as file:
        file.write(values)
        if scale != 1.0:
            file.scales = (scale,) * bands
        for band, text in enumerate(descriptions or ()):
            file.set_band_description(band + 1, text)
    return np.where(values == nodata, np.nan, values * scale)


def test_names():
    assert is_geotiff("a.tif") and is_geotiff("B.TIFF") and not is_geotiff("tif") and not is_geotiff("a.tif.nc")


def test_without_the_package_one_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rioxarray", None)
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    with pytest.raises(
        InputError, match=r"a\.tif is a GeoTIFF, which needs a package .* pip install 'geogan\[geotiff\]'"
    ):
        geogan.open_field(tmp_path / "a.tif")


@needs_rioxarray
@pytest.mark.parametrize(
    ("kind", "nodata", "scale"), [("float32", -9999, 1.0), ("int16", -1, 0.1), ("uint8", 255, 1.0)]
)
def test_one_file(tmp_path, kind, nodata, scale):
    values = raster(tmp_path, "a.tif", kind=kind, nodata=nodata, scale=scale)
    field = geogan.open_field(tmp_path / "a.tif")
    assert field.dims == ("y", "x") and field.name == "band_data"
    np.testing.assert_allclose(field.values, values[0], rtol=1e-6)
    assert field.encoding["grid_mapping"] == "spatial_ref" and "crs_wkt" in field.spatial_ref.attrs
    assert field.x.values[0] == 500015.0 and field.y.values[0] == 4899985.0


@needs_rioxarray
def test_bands_have_their_names(tmp_path):
    values = raster(tmp_path, "a.tif", bands=3, descriptions=("red", "green", "blue"))
    field = geogan.open_field(tmp_path / "a.tif")
    assert field.dims == ("band", "y", "x") and field.band.values.tolist() == ["red", "green", "blue"]
    np.testing.assert_array_equal(field.values, values)


@needs_rioxarray
@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_many_files_have_the_dates_of_their_names(tmp_path, suffix):
    for number in range(6):
        raster(tmp_path, f"ndvi_2001{number + 1:02d}17.tif", seed=number)
    source = open_source(str(tmp_path / "*.tif"))
    assert source.field.shape[0] == 6 and source.field.array.time.dt.month.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert "in their names (YYYYMMDD)" in source.notes[0]
    model = make_reconstructor(
        "observed_gaps", window=1, width=4, crop=8, batch=2, steps=1, precision="float32", **QUICK
    )
    model.fit(source.field.array).save(tmp_path / "run")
    from fill_files import fill

    out = fill(str(tmp_path / "*.tif"), tmp_path / "run", tmp_path / f"filled.{suffix}")
    raw = xr.open_dataset(out, engine="zarr" if suffix == "zarr" else None, decode_cf=False)
    for name in ("band_data", "band_data_source"):
        assert raw[name].attrs["grid_mapping"] == "spatial_ref"
    assert "crs_wkt" in raw.spatial_ref.attrs


@needs_rioxarray
def test_a_damaged_file_and_another_grid(tmp_path):
    (tmp_path / "bad.tif").write_bytes(b"no raster")
    with pytest.raises(InputError, match=r"bad\.tif cannot be read"):
        geogan.open_field(tmp_path / "bad.tif")
