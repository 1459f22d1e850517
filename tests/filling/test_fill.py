"""A filled field: what was measured is kept, gaps are filled, land stays; however it is cut."""

import copy
import dataclasses
import pickle
from functools import partial

import dask
import numpy as np
import pytest
import torch
import xarray as xr

from geogan.archive import Standardiser
from geogan.fields.field import Field
from geogan.filling import FillOptions, estimate, fill_field, plan_tasks
from geogan.filling.compose import FILLED, LAND, OBSERVED
from geogan.filling.plan import TaskSizes
from geogan.model import prepare_archive
from geogan.operators.errors import InputError


def filled_of(model, field, **options):
    return fill_field(model, Field.of(field), FillOptions(**options))["sst"]


def check(product, field, domain):
    """Check the promises of every product."""
    values, source, raw = (
        part.transpose(..., "lat", "lon").values for part in (product["sst"], product["sst_source"], field)
    )
    seen = np.isfinite(raw)
    assert values.dtype == raw.dtype and source.dtype == np.int8
    np.testing.assert_array_equal(values[seen], raw[seen])
    assert np.isfinite(values[..., domain]).all() and np.isnan(values[..., ~domain]).all()
    expected = np.where(domain, np.where(seen, OBSERVED, FILLED), LAND)
    np.testing.assert_array_equal(source, np.broadcast_to(expected, source.shape))
    if "sst_std" in product:
        std = product["sst_std"].transpose(..., "lat", "lon").values
        np.testing.assert_array_equal(std > 0, source == FILLED)
        assert product["sst_std"].attrs["units"] == field.attrs["units"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", [("time", "lat", "lon"), ("lon", "time", "lat")])
def test_observed_kept_gaps_filled_land_left(model, gappy, domain, dtype, order):
    field = (gappy.astype(dtype) + (1e-9 if dtype == "float64" else 0)).transpose(*order)
    product = fill_field(model, Field.of(field))
    check(product, field, domain)
    assert product["sst"].dims == product["sst_source"].dims == order
    attrs = {"ancillary_variables": "sst_source sst_std", "coverage_content_type": "physicalMeasurement"}
    assert product["sst"].attrs == field.attrs | attrs
    assert product["sst_source"].attrs["flag_meanings"] == "observed filled land refused unreadable"
    xr.testing.assert_equal(product["time"], field["time"])


def test_the_first_guess_is_near_the_truth(model, gappy, truth, domain):
    first = dataclasses.replace(model, network=None, error=None)
    gaps = gappy.isnull().values & domain
    error, climatology = (
        float(np.sqrt((((filled_of(each, gappy) - truth).values[gaps]) ** 2).mean()))
        for each in (first, dataclasses.replace(first, prior=None))
    )
    assert error < 0.6 * climatology


def test_estimates_everywhere_where_that_is_asked_for(model, gappy, domain):
    everywhere = filled_of(model, gappy, keep_observed=False)
    kept = filled_of(model, gappy)
    gaps = gappy.isnull().values
    np.testing.assert_array_equal(everywhere.values[gaps], kept.values[gaps])
    assert (everywhere != kept).values[~gaps].mean() > 0.9
    noisy = dataclasses.replace(model, operator=model_operator_with_noise())
    xr.testing.assert_equal(filled_of(noisy, gappy), everywhere)
    xr.testing.assert_equal(filled_of(noisy, gappy, keep_observed=True), kept)


def model_operator_with_noise():
    from geogan.operators.convolve import ConvolveNoise

    return ConvolveNoise(l=1, sigma=0.1)


def test_lazily_the_model_is_moved_where_it_is_used(model, gappy):
    """A graph with weights on a GPU could not run on a worker without that GPU."""
    meta = torch.device("meta")  # a device of which no value can be read
    lazy = fill_field(model, Field.of(gappy.chunk(time=30)), device=meta)
    (shared,) = [part for key, part in dict(lazy.sst.data.dask).items() if str(key).startswith("geogan-model")]
    assert model.network.scale.device.type == "cpu" and b"meta" in pickle.dumps(shared)
    with pytest.raises(Exception, match="meta"):
        lazy.sst[0].compute(scheduler="synchronous")


def test_lazy_is_the_same_and_stays_lazy(model, gappy):
    options = FillOptions(sizes=TaskSizes(dates=7))
    eager = fill_field(model, Field.of(gappy), options)

    def never(*_, **__):
        raise AssertionError("computed")

    with dask.config.set(scheduler=never):
        lazy = fill_field(model, Field.of(gappy.chunk(time=4, lat=11)), options)
        part = lazy.isel(time=slice(3, 5))
    xr.testing.assert_identical(lazy.compute(), eager)
    # The extents of a part are others.
    some = eager.isel(time=slice(3, 5))
    xr.testing.assert_identical(part.compute().drop_attrs(deep=False), some.drop_attrs(deep=False))
    xr.testing.assert_equal(lazy.compute(scheduler="threads"), eager)


@pytest.mark.parametrize("dates", [3, 5, 11])
def test_tasks_of_any_length_are_the_same_without_a_first_guess(bare, gappy, dates):
    """A window needs two more frames on either side, which a task reads."""
    whole, sizes = filled_of(bare, gappy), TaskSizes(dates=dates)
    assert len(plan_tasks(bare, prepare_archive(bare, Field.of(gappy)), sizes=sizes).dates) == -(
        -gappy.sizes["time"] // dates
    )
    np.testing.assert_allclose(filled_of(bare, gappy, sizes=sizes).values, whole.values, atol=1e-4)


@pytest.mark.parametrize(("dates", "tile", "halo"), [(6, 192, 32), (24, 8, 12), (9, 12, 16)])
def test_any_plan_gives_nearly_the_same(model, gappy, truth, dates, tile, halo):
    first = dataclasses.replace(model, network=None, error=None)
    whole = filled_of(first, gappy)
    difference = (filled_of(first, gappy, sizes=TaskSizes(dates=dates, tile=tile, halo=halo)) - whole).values
    assert np.nanmax(np.abs(difference)) > 0
    gaps = gappy.isnull().values
    assert np.sqrt(np.nanmean(difference[gaps] ** 2)) < 0.03 * float((truth - truth.mean("time")).std())


def test_tiles_with_a_wide_halo_are_the_whole(bare, gappy):
    tiled = filled_of(bare, gappy, sizes=TaskSizes(tile=8, halo=24))
    np.testing.assert_allclose(tiled.values, filled_of(bare, gappy).values, atol=1e-4)


def test_a_part_of_the_dates_is_filled_as_in_the_whole(model, gappy):
    sizes = TaskSizes(dates=8)
    archive = prepare_archive(model, Field.of(gappy))
    plan = plan_tasks(model, archive, sizes=sizes)
    whole = np.concatenate([estimate(model, archive, task, plan).field for task in plan.tasks])
    for dates in (slice(0, 8), slice(5, 21), slice(11, 12), slice(29, 30)):
        part = plan_tasks(model, archive, dates=dates, sizes=sizes)
        assert (part.dates[0].core.start, part.dates[-1].core.stop) == (dates.start, dates.stop)
        found = np.concatenate([estimate(model, archive, task, part).field for task in part.tasks])
        np.testing.assert_array_equal(found, whole[dates])


def test_a_part_of_the_grid(bare, model, gappy, domain):
    """The climatology is that of the part, at any position."""
    y, x = slice(4, 18), slice(3, 24)
    part = gappy[:, y, x]
    product = fill_field(model, Field.of(part))
    check(product, part, domain[y, x])
    none = dataclasses.replace(model, network=None, error=None, prior=None)
    np.testing.assert_array_equal(filled_of(none, part).values, filled_of(none, gappy).values[:, y, x])


def test_one_date_few_dates_and_an_image(model, gappy, domain):
    """Fewer dates than the window has."""
    for field in (gappy[4:5], gappy[4:6], gappy[4], gappy[4].drop_vars("time")):
        product = fill_field(model, Field.of(field))
        check(product, field, domain)
        assert product["sst"].shape == field.shape
    lazily = fill_field(model, Field.of(gappy[4].chunk(lat=7)))
    assert lazily["sst"].chunks is not None
    xr.testing.assert_identical(lazily.compute(), fill_field(model, Field.of(gappy[4])))


def test_dates_must_be_there_and_in_order(model, gappy, domain):
    for field, words in (
        (gappy[::-1], "do not increase from one to the next"),
        (xr.concat([gappy[6:], gappy[:6]], "time"), "do not increase"),
        (gappy[:0], "no entry along 'time'"),
    ):
        with pytest.raises(InputError, match=words):
            fill_field(model, Field.of(field))
    # A climatology that changes with the season says nothing of a date that nobody knows.
    constant = model.standardiser.coefficients
    seasons = np.concatenate([constant, np.ones((2, *constant.shape[1:]))])
    seasonal = dataclasses.replace(
        model, standardiser=dataclasses.replace(model.standardiser, coefficients=seasons), network=None
    )
    check(fill_field(seasonal, Field.of(gappy[:4])), gappy[:4], domain)
    with pytest.raises(InputError, match="changes with the season, and sst has no dates"):
        fill_field(seasonal, Field.of(gappy[4].drop_vars("time")))


def test_a_date_that_saw_nothing(model, gappy, domain):
    field = gappy.copy(deep=True)
    field[7] = np.nan
    check(fill_field(model, Field.of(field)), field, domain)


def test_land_is_without_consequence(model, gappy, domain):
    wild = gappy.where(domain, 1e4)
    product, plain = fill_field(model, Field.of(wild)), fill_field(model, Field.of(gappy))
    np.testing.assert_array_equal(product["sst"].values[:, domain], plain["sst"].values[:, domain])
    # What was measured where nothing should be is returned, as measured.
    assert (product["sst"].values[:, ~domain] == 1e4).all() and (product["sst_source"].values[:, ~domain] == 0).all()


@pytest.mark.parametrize("lazy", [False, True])
def test_infinite_values_are_neither_measured_nor_gaps(model, gappy, lazy):
    field = gappy.copy(deep=True)
    field.values[5][np.isfinite(field.values[5])] = -np.inf
    with pytest.raises(InputError, match=r"variable 'sst', in dates \d+ to \d+, holds infinite values; set them"):
        fill_field(model, Field.of(field.chunk(time=4) if lazy else field)).compute()


def test_another_unit_or_grid_is_refused(model, gappy):
    kelvin = (gappy + 273.15).assign_attrs(units="K")
    with pytest.raises(InputError, match="trained on sst in degree_Celsius, but sst is in K; convert it"):
        fill_field(model, Field.of(kelvin))
    with pytest.raises(InputError, match="lat of sst .* is not part of the model's grid"):
        fill_field(model, Field.of(gappy.assign_coords(lat=gappy.lat + 0.02)))
    with pytest.raises(InputError, match="lat of sst .* is not part of the model's grid"):
        fill_field(model, Field.of(gappy[:, ::-1]))
    with pytest.raises(InputError, match="lon of sst .* is not part of the model's grid"):
        fill_field(model, Field.of(gappy[..., ::2]))
    with pytest.raises(InputError, match="the model's grid has 24 cells along lon, but sst has 10"):
        fill_field(model, Field.of(gappy[..., :10].drop_vars("lon").assign_attrs(gappy.attrs)))


def test_what_was_withheld_is_hidden_on_demand_and_on_its_own_record_alone(model, gappy):
    hidden, whole = prepare_archive(model, Field.of(gappy), withheld=True), prepare_archive(model, Field.of(gappy))
    assert hidden.read(slice(None)).withheld.any() and not whole.read(slice(None)).withheld.any()
    with pytest.raises(InputError, match="withheld observations of a record of 30 dates .* has 29 dates"):
        prepare_archive(model, Field.of(gappy[1:]), withheld=True)


def banded(model, field):
    """Return a model of two bands without a network: the field, and twice the field upside down."""
    both = xr.concat([field, 2 * field[:, ::-1].assign_coords(lat=field.lat)], xr.Variable("band", ["up", "down"]))
    own = model.standardiser
    twice = dataclasses.replace(
        own,
        coefficients=np.concatenate([own.coefficients, 2 * own.coefficients[:, :, ::-1]], 1),
        scale=np.concatenate([own.scale, 2 * own.scale]),
    )
    domain = np.ones_like(model.domain)
    return dataclasses.replace(
        model, network=None, error=None, standardiser=twice, domain=domain, bands=("up", "down")
    ), both


@pytest.mark.parametrize("order", [("time", "band", "lat", "lon"), ("lat", "lon", "band", "time")])
@pytest.mark.parametrize("lazy", [False, True])
def test_bands_are_filled_each_for_itself(model, gappy, order, lazy):
    two, both = banded(model, gappy)
    both = both.transpose(*order).chunk(time=7) if lazy else both.transpose(*order)
    product = fill_field(two, Field.of(both))
    assert product["sst"].dims == product["sst_source"].dims == order
    values, source = product["sst"], product["sst_source"]
    seen = both.notnull()
    np.testing.assert_array_equal(values.values[seen.values], both.values[seen.values])
    np.testing.assert_array_equal(source == OBSERVED, seen)
    one = fill_field(dataclasses.replace(two, standardiser=model.standardiser, bands=()), Field.of(gappy))["sst"]
    up, down = (values.sel(band=name).transpose("time", "lat", "lon").values for name in ("up", "down"))
    # As near as the solver goes.
    np.testing.assert_allclose(up, one.values, atol=0.03)
    np.testing.assert_allclose(down, 2 * one.values[:, ::-1], atol=0.06)


def test_other_bands_are_refused(model, gappy):
    two, both = banded(model, gappy)
    with pytest.raises(InputError, match=r"trained on 2 bands \(up, down\) of sst, but sst has 1 band; give the same"):
        fill_field(two, Field.of(gappy))
    with pytest.raises(InputError, match=r"has 2 bands \(down, up\); give the same bands in the same order"):
        fill_field(two, Field.of(both[::-1]))
    assert fill_field(two, Field.of(both.drop_vars("band")))["sst"].notnull().all()


def test_samples_are_filled_each_from_itself(model, gappy):
    alone = dataclasses.replace(model, network=None, error=None, frames=1)
    samples = gappy.drop_vars("time").rename(time="sample")
    plan = plan_tasks(alone, prepare_archive(alone, Field.of(samples)))
    assert plan.margin == 0 and plan.total == 1
    whole = fill_field(alone, Field.of(samples))["sst"]
    np.testing.assert_allclose(fill_field(alone, Field.of(samples[[5]]))["sst"].values, whole.values[[5]], atol=0.04)
    monkeyed = samples.copy(deep=True)
    monkeyed[4] += 3
    np.testing.assert_allclose(fill_field(alone, Field.of(monkeyed))["sst"].values[5:], whole.values[5:], atol=0.04)


def test_images_stay_within_their_range(model, gappy):
    everywhere = np.ones_like(model.domain)
    alone = dataclasses.replace(
        model,
        network=None,
        error=None,
        frames=1,
        units="1",
        domain=everywhere,
        standardiser=Standardiser.identity(1, everywhere),
    )
    images = (gappy.drop_vars("time").rename(time="sample") - 15).clip(-1, 1)
    images.attrs = {"units": "1", "valid_min": -1, "valid_max": 1}
    filled = fill_field(alone, Field.of(images))["sst"]
    assert filled.notnull().all() and abs(filled).max() <= 1


def test_members_agree_however_they_are_cut(model, gappy):
    first = dataclasses.replace(model, network=None, error=None)
    whole = fill_field(first, Field.of(gappy), FillOptions(members=4))
    assert whole["sst_member"].dims == ("member", *gappy.dims) and whole.sizes["member"] == 4
    np.testing.assert_allclose(whole["sst_member"].mean("member").values, whole["sst"].values, atol=1e-4)
    cut = fill_field(first, Field.of(gappy), FillOptions(members=4, sizes=TaskSizes(tile=12, halo=16, dates=11)))
    gaps = gappy.isnull().values & model.domain
    difference = (cut["sst_member"] - whole["sst_member"]).values[:, gaps]
    spread = whole["sst_std"].values[gaps]
    assert np.sqrt((difference**2).mean()) < 0.1 * np.sqrt((spread**2).mean())
    # Noise that began anew in every tile would average out where tiles overlap.
    assert cut["sst_std"].values[gaps].mean() == pytest.approx(spread.mean(), rel=0.02)


def test_members_are_lazy_and_those_of_their_seed(model, gappy):
    first = dataclasses.replace(model, network=None, error=None)
    eager = fill_field(first, Field.of(gappy), FillOptions(members=3, seed=1))
    lazy = fill_field(first, Field.of(gappy.chunk(time=10)), FillOptions(members=3, seed=1))
    xr.testing.assert_identical(lazy.compute(), eager)
    assert (
        fill_field(first, Field.of(gappy), FillOptions(members=3, seed=2))["sst_member"] != eager["sst_member"]
    ).any()


def test_members_are_as_far_apart_as_the_error_that_is_predicted(model, gappy, domain):
    product = fill_field(model, Field.of(gappy), FillOptions(members=16))
    xr.testing.assert_allclose(product["sst"], fill_field(model, Field.of(gappy))["sst"])
    gaps = gappy.isnull().values & domain
    deviations = (product["sst_member"] - product["sst"]).values[:, gaps]
    predicted = product["sst_std"].values[gaps]
    assert np.sqrt((deviations**2).mean()) == pytest.approx(np.sqrt((predicted**2).mean()), rel=0.1)
    np.testing.assert_array_equal((product["sst_member"] - gappy).values[:, gappy.notnull().values], 0)


def test_smoother_members_are_as_far_apart(model, gappy, domain):
    """Smoothing removes the shortest waves of members and keeps field, error and mean deviation."""
    model = dataclasses.replace(model, smoothing=0)
    models = [dataclasses.replace(model, smoothing=steps) for steps in (0, 4)]
    rough, smooth = (fill_field(each, Field.of(gappy), FillOptions(members=8)) for each in models)
    for name in ("sst", "sst_std"):
        xr.testing.assert_identical(smooth[name], rough[name])
    gaps = gappy.isnull().values & domain
    sizes, steps = [], []
    for product in (rough, smooth):
        deviation = (product["sst_member"] - product["sst"]).values
        np.testing.assert_allclose(deviation.mean(0)[gaps], 0, atol=1e-4)
        sizes.append(np.mean(deviation[:, gaps] ** 2))
        both = gaps[:, 1:-1, 2:] & gaps[:, 1:-1, :-2] & gaps[:, 1:-1, 1:-1]
        bend = deviation[..., 1:-1, 2:] + deviation[..., 1:-1, :-2] - 2 * deviation[..., 1:-1, 1:-1]
        steps.append(np.mean(bend[:, both] ** 2))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05) and steps[1] < 0.7 * steps[0]


def test_the_spread_of_the_first_guess_is_its_error(model, gappy, truth, domain):
    """The field is nearly a draw of the prior, with a fitted length."""
    first = dataclasses.replace(model, network=None, error=None)
    product = fill_field(first, Field.of(gappy), FillOptions(members=8))
    gaps = gappy.isnull().values & domain
    error = np.sqrt(((product["sst"] - truth).values[gaps] ** 2).mean())
    spread = np.sqrt((product["sst_std"].values[gaps] ** 2).mean())
    assert 0.5 < spread / error < 2


def test_what_cannot_be_said_is_refused(model, bare, gappy):
    with pytest.raises(InputError, match="cannot generate 4 ensemble members; train it with --members 2, or with a"):
        fill_field(bare, Field.of(gappy), FillOptions(members=4))
    with pytest.raises(InputError, match="members must be at least 1, got 0"):
        fill_field(model, Field.of(gappy), FillOptions(members=0))
    with pytest.raises(InputError, match="max_error must be positive"):
        fill_field(model, Field.of(gappy), FillOptions(max_error=-1.0))
    with pytest.raises(InputError, match="predicts no error to compare with --max-error"):
        fill_field(dataclasses.replace(model, error=None), Field.of(gappy), FillOptions(max_error=1.0))


def test_nothing_that_is_not_finite_is_written_and_its_dates_are_named(model, gappy):
    """Values near the largest float32 overflow; a model with NaN would turn gaps into land."""
    field = gappy.copy(deep=True)
    day, row, column = np.argwhere(field.notnull().values)[200]
    field[day, row, column] = 2e38
    with pytest.raises(InputError, match=r"variable 'sst', 2015-.*: the model predicts values that are not finite"):
        fill_field(model, Field.of(field))
    network = copy.deepcopy(model.network)
    network.leave.weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"not finite, in network.leave.weight; train it again"):
        fill_field(dataclasses.replace(model, network=network), Field.of(gappy))
    scale = dataclasses.replace(model.standardiser, scale=np.array([np.nan]))
    with pytest.raises(InputError, match=r"not finite, in standardiser.scale"):
        fill_field(dataclasses.replace(model, standardiser=scale), Field.of(gappy))


@pytest.mark.parametrize("attrs", [
    {"valid_range": np.array([14.0, 15.0], "f4")}, {"valid_min": 14.5}, {"valid_max": np.float32(15.1)},
    {"valid_min": np.float64(14.5), "valid_max": np.float64(15.3)},
])  # fmt: skip
def test_predictions_and_members_lie_within_the_valid_range(model, gappy, domain, attrs):
    low, high = attrs.get("valid_range", (attrs.get("valid_min", -np.inf), attrs.get("valid_max", np.inf)))
    field = gappy.clip(low, high).astype("f4").assign_attrs(gappy.attrs | attrs)
    field = field.where((field >= low) & (field <= high))
    plain = fill_field(model, Field.of(field.drop_attrs().assign_attrs(gappy.attrs)), FillOptions(members=2))
    product = fill_field(model, Field.of(field), FillOptions(members=2))
    inside = product["sst_source"].values == FILLED
    assert ((plain["sst"].values[inside] < low) | (plain["sst"].values[inside] > high)).any()
    for name in ("sst", "sst_member"):
        values = product[name].values[..., inside]
        assert (values.astype("f8") >= float(low)).all() and (values.astype("f8") <= float(high)).all()
    assert {key for key in product["sst"].attrs if key.startswith("valid")} == set(attrs)


@pytest.mark.parametrize("kept", ["zarr 2", "zarr 3", "sharded"])
def test_what_is_filled_in_python_can_be_written_into_any_container(model, gappy, tmp_path, kept):
    """Filters, codecs and shards of the source are not copied, also those of coordinates."""
    shape = gappy.shape
    chunks = {"chunks": (2, *shape[1:]), "shards": (shape[0] + shape[0] % 2, *shape[1:])} if kept == "sharded" else {}
    source = tmp_path / "source.zarr"
    gappy.to_dataset(name="sst").to_zarr(
        source, zarr_format=2 if kept == "zarr 2" else 3, consolidated=False, encoding={"sst": chunks}
    )
    with xr.open_zarr(source, consolidated=False) as dataset:
        filled = fill_field(model, Field.of(dataset.sst))
        assert dataset.lat.encoding  # the source stays as it was
    for name, write in {
        "2.zarr": partial(filled.to_zarr, zarr_format=2),
        "3.zarr": partial(filled.to_zarr, zarr_format=3),
        "product.nc": filled.to_netcdf,
    }.items():
        write(tmp_path / name)
        with xr.open_dataset(tmp_path / name, engine="zarr" if name.endswith("zarr") else "netcdf4") as back:
            np.testing.assert_array_equal(back.sst.values, filled.sst.values)
            np.testing.assert_array_equal(back.lat.values, gappy.lat.values)
