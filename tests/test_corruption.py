"""Step, scale and borrowed gaps come from the field itself."""

import numpy as np
import pytest
import xarray as xr

from geogan.corruption import corrupt
from geogan.operators.cloud import CloudMask
from geogan.operators.errors import InputError


def film(steps=6, *, apart=1):
    values = np.random.default_rng(1).normal(15, 3, (steps, 20, 31))
    values[:, 0, :4] = np.nan
    time = np.datetime64("2001-06-28", "ns") + apart * np.arange(steps) * np.timedelta64(1, "D")
    return xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={"time": time},
        name="sst",
        attrs={"units": "degree_Celsius"},
    )


def test_text_and_operator_are_the_same_and_land_stays():
    truth = film()
    gappy = corrupt(truth, "cloud_mask:coverage=0.4,scale=6", seed=3)
    xr.testing.assert_identical(gappy, corrupt(truth, CloudMask(coverage=0.4, scale=6), seed=3))
    assert gappy.isnull().sum() > truth.isnull().sum()
    assert gappy.attrs == truth.attrs
    np.testing.assert_array_equal(gappy, truth.where(gappy.notnull()))


def test_lazy_in_any_order_of_dimensions():
    truth = film()
    lazy = corrupt(truth.transpose("lon", "time", "lat").chunk(time=2), "remove_pixel:p=0.3", seed=3)
    assert lazy.chunks is not None
    xr.testing.assert_identical(
        lazy.transpose("time", "lat", "lon").compute(), corrupt(truth, "remove_pixel:p=0.3", seed=3)
    )


def test_noise_is_counted_in_the_fields_own_spread():
    truth = film(30)
    for factor in (1.0, 100.0):
        noisy = corrupt(truth * factor, "convolve_noise:l=1,sigma=0.3")
        assert float((noisy - truth * factor).std()) == pytest.approx(0.3 * factor * float(truth.std()), rel=0.05)


def test_persistence_is_counted_in_the_records_own_steps():
    daily, weekly = (
        corrupt(film(40, apart=apart), "cloud_mask:coverage=0.5,scale=6,persistence=10", seed=1).isnull()
        for apart in (1, 7)
    )
    changed = [float((gaps[1:].values != gaps[:-1].values).mean()) for gaps in (daily, weekly)]
    assert changed[1] == pytest.approx(changed[0], rel=0.35)


def test_gaps_to_borrow_are_the_fields_own():
    gappy = film().where(film().time != film().time[1])
    gappy[2, 5:, 7:19] = np.nan
    more = corrupt(gappy, "observed_gaps", seed=2)
    assert more.isnull().sum() > gappy.isnull().sum()
    with pytest.raises(InputError, match="needs dates that are partly observed"):
        corrupt(film(), ["observed_gaps"])


def test_whole_numbers_and_their_packing_get_room_for_gaps():
    counts = film().fillna(0).astype("int16")
    assert corrupt(counts, "remove_pixel:p=0.3").dtype == np.float32
    packed = film()
    packed.encoding = {"dtype": "int16", "scale_factor": 0.01}
    assert corrupt(packed, "remove_pixel:p=0.3").encoding == {}
    packed.encoding["_FillValue"] = -999
    assert corrupt(packed, "remove_pixel:p=0.3").encoding == packed.encoding


def bands():
    """Two bands of one film, the second a thousand times the first, and its mirror image."""
    one = film(8)
    return xr.concat([one, 1000 * one[:, ::-1].assign_coords()], xr.Variable("band", ["a", "b"]))


def test_noise_of_a_band_is_counted_in_its_own_spread():
    truth = bands().transpose("lat", "band", "lon", "time")
    noisy = corrupt(truth, "convolve_noise:l=1,sigma=0.3")
    assert noisy.dims == truth.dims and noisy.attrs == truth.attrs and noisy.name == "sst"
    for name in ("a", "b"):
        error = (noisy - truth).sel(band=name)
        assert float(error.std()) == pytest.approx(0.3 * float(truth.sel(band=name).std()), rel=0.05)


def images():
    values = np.random.default_rng(2).uniform(-1, 1, (6, 3, 20, 31)).astype(np.float32)
    attrs = {"units": "1", "valid_min": -1.0, "valid_max": 1.0}
    return xr.DataArray(values, dims=("sample", "band", "y", "x"), name="image", attrs=attrs)


def test_an_image_is_corrupted_once_by_its_number():
    truth = images()
    gappy = corrupt(truth, "remove_pixel:p=0.5", seed=1)
    assert gappy.attrs == truth.attrs
    gaps = gappy.isnull()
    assert (gaps.any("band") == gaps.all("band")).all() and (gaps[0] != gaps[1]).any()
    xr.testing.assert_identical(corrupt(truth.chunk(sample=2), "remove_pixel:p=0.5", seed=1).compute(), gappy)
    # Clouds of images do not last.
    clouds = corrupt(truth, "cloud_mask:coverage=0.5,scale=6,persistence=50").isnull()[:, 0]
    assert float((clouds[1:].values != clouds[:-1].values).mean()) > 0.25


def test_noise_of_images_is_taken_as_it_is():
    noisy = corrupt(images(), "convolve_noise:l=1,sigma=0.3")
    assert float((noisy - images()).std()) == pytest.approx(0.3, rel=0.03)


def test_channels_that_lose_pixels_of_their_own():
    gaps = corrupt(images(), "remove_pixel_channel:p=0.5").isnull()
    assert 0.4 < float(gaps.mean()) < 0.6 and (gaps[:, 0] != gaps[:, 1]).any()
    again = corrupt(images().where(~gaps), "observed_gaps", seed=2).isnull()
    assert again.sum() > gaps.sum()


def test_simulated_clouds_lie_across_the_seam():
    lon, lat = np.arange(0.0, 360, 7.5), np.linspace(-30, 30, 20)
    field = xr.DataArray(np.ones((60, 20, 48), "f4"), dims=("time", "lat", "lon"), coords={"lat": lat, "lon": lon})
    shares = []
    for one in (field, field.drop_vars("lon")):
        gaps = corrupt(one, "cloud_mask:coverage=0.4,scale=6", seed=0).isnull().values
        shares.append((gaps[..., 0] != gaps[..., -1]).mean() / (gaps[..., 1:] != gaps[..., :-1]).mean())
    assert shares[0] < 1.4 < 2.2 < shares[1]
    lazy = corrupt(field.chunk(time=10, lon=16), "cloud_mask:coverage=0.4,scale=6", seed=0)
    xr.testing.assert_identical(lazy.compute(), corrupt(field, "cloud_mask:coverage=0.4,scale=6", seed=0))
