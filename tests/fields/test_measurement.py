"""Operators on labelled fields: one date, one measurement, however the field is cut, ordered or chunked."""

from dataclasses import dataclass

import dask
import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr

from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.operators.band import PatchBand
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.downsample import Downsample
from geogan.operators.errors import InputError
from geogan.operators.footprint import Footprint
from geogan.operators.noise import Noise
from geogan.operators.observed import ObservedGaps
from geogan.operators.operator import Observation, Operator
from geogan.operators.pixels import RemovePixel, RemovePixelChannel
from geogan.operators.sampling import SparseSampling

ARCHIVE = np.random.default_rng(3).random((12, 9, 14)) > 0.4
OPERATORS = [
    RemovePixel(p=0.6),
    RemovePixelChannel(p=0.6),
    PatchBand(h=3),
    SparseSampling(fraction=0.3, fixed=True),
    ConvolveNoise(l=3, sigma=0.2),
    CloudMask(scale=4),
    CloudMask(scale=4, persistence=2.0),
    ObservedGaps().fitted(ARCHIVE, np.ones((9, 14), dtype=bool)),
    Compose((Footprint(fwhm=4, across=2, angle=30), Noise(0.1, line=0.2), CloudMask(scale=4, persistence=1.0))),
    Compose((Downsample(factor=2), RemovePixel(p=0.2))),
]
CHANNEL_GAPS = ObservedGaps().fitted(
    np.random.default_rng(4).random((12, 3, 9, 14)) > 0.4, np.ones((9, 14), dtype=bool)
)
BANDED = [
    *OPERATORS,
    CHANNEL_GAPS,
    Compose((ConvolveNoise(l=3, sigma=0.1), RemovePixelChannel(p=0.4))),
    Compose((PatchBand(h=2), RemovePixelChannel(p=0.4))),
]
every = pytest.mark.parametrize("operator", OPERATORS, ids=repr)


def corrupt(array, operator, **options):
    return measure(Field.of(array), operator, **options)


@pytest.fixture
def field() -> xr.DataArray:
    values = np.random.default_rng(0).standard_normal((7, 13, 18)).astype("float32") + 290
    values[:, :4, :5] = np.nan
    return xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={
            "time": np.arange("2020-02-26", "2020-03-04", dtype="datetime64[D]").astype("datetime64[ns]"),
            "lat": np.linspace(44, 38, 13),
            "lon": np.linspace(-5, 3.5, 18),
            "depth": 0.5,
        },
        name="sst",
        attrs={"units": "kelvin"},
    )


@pytest.fixture
def images(field) -> xr.DataArray:
    """Return seven images of three bands, without dates."""
    values = np.random.default_rng(5).uniform(-1, 1, (7, 3, 13, 18)).astype("float32")
    values[:, :, :4, :5] = np.nan
    return xr.DataArray(values, dims=("sample", "band", "y", "x"), coords={"sample": np.arange(10, 17)})


def refuse(*_args, **_kwargs):
    raise AssertionError("computed what should have stayed lazy")


@every
def test_labels_are_kept_and_nan_stays(field, operator):
    field.encoding = {"scale_factor": 0.01, "_FillValue": -999}
    result = corrupt(field, operator, seed=1)
    xr.testing.assert_equal(result.isnull() * 0, field.isnull() * 0)
    assert (result.name, result.dtype, result.attrs, result.encoding) == (
        field.name,
        field.dtype,
        field.attrs,
        field.encoding,
    )
    assert result.isnull().where(field.isnull(), True).all()
    assert np.isfinite(field).sum() == 7 * (13 * 18 - 20), "the input is left alone"
    if operator.masks:
        assert result.isnull().sum() > field.isnull().sum()
    if operator.exact:
        xr.testing.assert_equal(result, field.where(result.notnull()))


@every
@pytest.mark.parametrize("chunks", [{"time": 3}, {"lat": 5, "lon": 7}, {"time": 2, "lat": 6}, {}])
def test_chunks_change_nothing_and_nothing_is_computed(field, operator, chunks):
    whole = corrupt(field, operator, seed=1)
    chunked = field.chunk(chunks)
    with dask.config.set(scheduler=refuse):
        lazy = corrupt(chunked, operator, seed=1)
    assert lazy.chunks == chunked.chunks
    assert lazy.dtype == field.dtype
    xr.testing.assert_identical(lazy.compute(scheduler="synchronous"), whole)


@every
def test_the_measurement_of_a_date_does_not_depend_on_other_dates(field, operator):
    whole = corrupt(field, operator, seed=1)
    xr.testing.assert_identical(corrupt(field[[5, 2]], operator, seed=1), whole[[5, 2]])
    xr.testing.assert_identical(corrupt(field[3], operator, seed=1), whole[3])
    xr.testing.assert_identical(corrupt(field[::-1], operator, seed=1), whole[::-1])
    assert not corrupt(field, operator, seed=2).identical(whole)


def test_the_order_of_dimensions_does_not_matter(field):
    operator = CloudMask(scale=4)
    whole = corrupt(field, operator)
    turned = corrupt(field.transpose("lon", "time", "lat"), operator)
    xr.testing.assert_identical(turned.transpose(*field.dims), whole)


def test_bands_share_their_gaps_not_their_noise(field):
    bands = field.expand_dims(band=["red", "green"], axis=1).copy()
    result = corrupt(bands, Compose((ConvolveNoise(l=1, sigma=0.5), CloudMask(scale=4))))
    assert (result[:, 0].isnull() == result[:, 1].isnull()).all()
    both = result.dropna("time", how="all").values[np.isfinite(result.values)]
    assert len(np.unique(both)) > 0.9 * len(both)
    lazy = corrupt(bands.chunk(band=1, time=2), Compose((ConvolveNoise(l=1, sigma=0.5), CloudMask(scale=4))))
    xr.testing.assert_identical(lazy.compute(), result)


@pytest.mark.parametrize("operator", BANDED, ids=repr)
@pytest.mark.parametrize("leading", ["sample", "time"])
def test_a_chunk_of_one_band_sees_the_gaps_of_that_band(images, operator, leading):
    images = images.rename(sample=leading)
    whole = corrupt(images, operator, seed=1)
    assert whole.isnull().where(images.isnull(), True).all(), "land stays"
    for chunks in ({"band": 1}, {leading: 2, "band": 2, "x": 7}):
        xr.testing.assert_identical(corrupt(images.chunk(chunks), operator, seed=1).compute(), whole)
    turned = corrupt(images.transpose("band", "y", leading, "x"), operator, seed=1)
    xr.testing.assert_identical(turned.transpose(*images.dims), whole)
    sea = whole.isnull().values[..., 4:, :]
    assert operator.channelwise == bool((sea != sea[:, :1]).any())
    if not operator.channelwise and operator.exact:
        # A field of one band has the same gaps.
        alone = corrupt(images[:, 1], operator, seed=1)
        np.testing.assert_array_equal(alone.values, whole[:, 1].values)


def test_a_single_image_keeps_its_bands_together(images):
    one = images[0].drop_vars("sample")
    gaps = corrupt(one, RemovePixel(p=0.5)).isnull().values
    assert (gaps == gaps[:1]).all()
    gaps = corrupt(one, RemovePixelChannel(p=0.5)).isnull().values[:, 4:]
    pairs = [(gaps[i] != gaps[j]).mean() for i in range(3) for j in range(i)]
    assert np.mean(pairs) == pytest.approx(0.5, abs=0.08)


def test_gaps_per_channel_equal_gaps_per_pixel_on_one_band(images):
    grey = images[:, :1]
    one, all_bands = (corrupt(grey, kind(p=0.6), seed=2) for kind in (RemovePixelChannel, RemovePixel))
    xr.testing.assert_identical(one, all_bands)


@pytest.mark.parametrize("operator", BANDED, ids=repr)
@pytest.mark.parametrize("named", [False, True])
def test_the_measurement_of_an_image_does_not_depend_on_other_images(images, operator, named):
    if named:
        images = images.assign_coords(sample=[f"{name}.png" for name in "abcdefg"])
    whole = corrupt(images, operator, seed=1)
    some = [5, 0, 3]
    xr.testing.assert_identical(corrupt(images[some], operator, seed=1), whole[some])
    xr.testing.assert_identical(corrupt(images[4], operator, seed=1), whole[4])
    # Images have no time between them.
    xr.testing.assert_identical(corrupt(images, operator, seed=1, step=3.0), whole)
    assert not corrupt(images, operator, seed=2).identical(whole)
    gaps = whole.isnull().values
    if operator.masks:
        # Only eleven bands of three rows are possible: two images may have the same.
        assert len(np.unique(gaps, axis=0)) > (3 if isinstance(operator, PatchBand) else 6)


@pytest.mark.parametrize("name", ["sample", "Images", "n"])
def test_images_do_not_remember_their_neighbours(name):
    images = xr.DataArray(np.ones((60, 30, 40)), dims=(name, "y", "x"))
    clouds = CloudMask(spread=0.0, scale=3, persistence=8.0)

    def likeness(field) -> float:
        hidden = measure(field, clouds).isnull().values - 0.5
        return float((hidden[1:] * hidden[:-1]).mean() * 4)

    samples = Field.of(images)
    assert likeness(samples) == pytest.approx(0, abs=0.1)
    assert likeness(Field(images, samples.axes._replace(independent=False))) > 0.5


def test_samples_with_dates_are_dated(field):
    operator = CloudMask(scale=4, persistence=2.0)
    np.testing.assert_array_equal(
        corrupt(field.rename(time="sample"), operator).values, corrupt(field, operator).values
    )


def test_frames_that_do_not_fit_the_operator_are_refused_before_anything_is_computed(field):
    with pytest.raises(InputError, match=r"h of patch_band must be less than the number of rows of the frame \(13\)"):
        corrupt(field.chunk(time=1), PatchBand(h=20))
    with pytest.raises(InputError, match="fitted to 3 channels, each with gaps of its own, but 1 are to be measured"):
        corrupt(field, CHANNEL_GAPS)


def test_clouds_persist_from_day_to_day():
    days = xr.DataArray(
        np.ones((60, 30, 40)),
        dims=("time", "y", "x"),
        coords={"time": np.datetime64("2000-01-01", "ns") + np.arange(60) * np.timedelta64(1, "D")},
    )
    hidden = corrupt(days, CloudMask(spread=0.0, scale=3, persistence=2.0)).isnull().values - 0.5

    def memory(lag: int) -> float:
        return float((hidden[lag:] * hidden[:-lag]).mean() * 4)

    assert memory(1) == pytest.approx(2 / np.pi * np.arcsin(np.exp(-0.5)), abs=0.1)
    assert memory(1) > memory(2) > memory(4) > memory(20) - 0.1
    assert memory(20) == pytest.approx(0, abs=0.1)
    # In frames of two days, clouds last twice as long.
    slow = corrupt(days, CloudMask(spread=0.0, scale=3, persistence=2.0), step=2.0).isnull().values - 0.5
    assert (slow[1:] * slow[:-1]).mean() * 4 > memory(1) + 0.1


def test_dates_of_all_kinds_agree(field):
    operator = CloudMask(scale=4, persistence=1.5)
    whole = corrupt(field, operator)
    kinds = [
        xr.date_range("2020-02-26", periods=7, use_cftime=True, calendar="standard"),
        (field.time.values - np.datetime64("1970-01-01")) / np.timedelta64(1, "D"),
        field.time.values - np.datetime64("1970-01-01"),
    ]
    for dates in kinds:
        np.testing.assert_array_equal(corrupt(field.assign_coords(time=dates), operator).values, whole.values)


def test_hours_of_a_day_differ(field):
    hours = field.assign_coords(time=np.datetime64("2020-01-01", "ns") + np.arange(7) * np.timedelta64(1, "h"))
    gaps = corrupt(hours, RemovePixel(p=0.5)).isnull().values
    assert all((gaps[i] != gaps[i + 1]).any() for i in range(6))


def test_fields_without_dates(field):
    operator = RemovePixel(p=0.5)
    plain = field.drop_vars("time").rename(time="scene")
    stack = corrupt(plain, operator)
    assert (stack[0].isnull() != stack[1].isnull()).any()
    named = corrupt(plain.assign_coords(scene=list("abcdefg")), operator)
    np.testing.assert_array_equal(named.values, stack.values)
    assert corrupt(plain[0], operator).isnull().sum() > 20
    np.testing.assert_array_equal(corrupt(field.drop_vars("time"), operator).values, stack.values)


def test_noise_is_in_units_of_scale(field):
    noisy = corrupt(field, ConvolveNoise(l=1, sigma=0.2), scale=3.0)
    error = (noisy - field).values
    assert np.nanstd(error) == pytest.approx(0.6, rel=0.06)
    assert abs(np.nanmean(error)) < 0.06


def test_a_blur_uses_no_values_from_land(field):
    flat = xr.where(field.isnull(), np.nan, np.float32(290.0)).astype("float32")
    blurred = corrupt(flat, ConvolveNoise(l=5, sigma=0.0))
    np.testing.assert_array_equal(blurred.values, flat.values)
    smooth = corrupt(field, ConvolveNoise(l=3, sigma=0.0))
    window = field.values[2, 3:6, 4:7]
    assert smooth.values[2, 4, 5] == pytest.approx(np.nanmean(window), abs=1e-4)


@dataclass(frozen=True)
class Drifting(Operator):
    """A sensor with a wrong gain and a random bias, written without `without_noise`."""

    gain: float = 2.0
    bias: float = 0.5

    @property
    def noise(self) -> float:
        return self.bias

    @property
    def masks(self) -> bool:
        return False

    def sample(self, shape, *, generator):
        return self.bias * torch.randn((*shape[:2], 1, 1, 1), generator=generator)

    def apply(self, x, theta):
        return Observation(self.gain * x + theta.to(x), torch.ones_like(x))


def test_an_operator_that_adds_and_scales_is_applied_as_it_is(field):
    """What F makes of ones is no weight where F adds something, or multiplies."""
    result = corrupt(field, Drifting(), scale=3.0, seed=1)
    bias = (result - 2 * field).values[:, 4:]
    draws = [float(Drifting().at((13, 18), day, seed=1)) for day in range(18318, 18325)]
    np.testing.assert_allclose(bias, 3 * np.array(draws)[:, None, None] + np.zeros_like(bias), atol=1e-4)


def test_noise_of_scan_lines_stays_in_the_lines(field):
    error = (corrupt(field, Noise(sigma=0.0, line=0.2), scale=3.0) - field).values[:, 4:]
    assert error.std(axis=2).max() < 1e-4
    assert error.std() == pytest.approx(0.6, rel=0.3)


def test_operators_fitted_to_different_gaps_have_different_graphs(field):
    domain = np.ones((9, 14), dtype=bool)
    one, other = (ObservedGaps().fitted(archive, domain) for archive in (ARCHIVE, ~ARCHIVE))
    lazy = field.chunk(time=2)
    names = {corrupt(lazy, operator).data.name for operator in (one, one, other)}
    assert len(names) == 2


def test_bad_arguments_are_refused(field):
    operator = RemovePixel()
    with pytest.raises(InputError, match="must be floating point to hold NaN in its gaps, got int64"):
        corrupt(field.fillna(0).astype("int64"), operator)
    with pytest.raises(InputError, match="scale must be more than 0, got 0"):
        corrupt(field, operator, scale=0)
    with pytest.raises(InputError, match="step must be more than 0, got -1"):
        corrupt(field, operator, step=-1)
    with pytest.raises(InputError, match="got NaT among them"):
        corrupt(field.assign_coords(time=[np.datetime64("NaT", "ns"), *field.time.values[1:]]), operator)


def test_large_chunks_stay_dask():
    lazy = corrupt(xr.DataArray(da.zeros((1000, 400, 500), chunks=(10, 400, 500)), dims=("t", "y", "x")), CloudMask())
    assert lazy[500, :3, :3].compute().shape == (3, 3)
