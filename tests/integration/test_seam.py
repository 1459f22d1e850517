"""On global grids, results do not depend on the meridian at which a file begins."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from fill_files import fill as fill_files
from runs import QUICK, make_reconstructor, train
from scipy.ndimage import gaussian_filter

import geogan
from geogan.archive import Archive
from geogan.fields.field import Field
from geogan.filling import FillOptions, estimate, fill_field, plan_tasks
from geogan.filling.plan import TaskSizes
from geogan.io import open_field
from geogan.model import prepare_archive
from geogan.operators.errors import InputError
from geogan.pipelines.info import info
from geogan.prior import GaussianPrior
from geogan.prior.archive_covariance import ArchivePrior
from geogan.settings import TrainConfig
from geogan.training import run, setup
from geogan.training.judge import Judge, Selection

LONGITUDES = np.arange(3.75, 360, 7.5)  # 48
HALF = len(LONGITUDES) // 2
# Values of a task that holds no whole map, so that it has half the columns of a date.
CUT = 16 * 48 - 1


def globe(dates: int = 14, rows: int = 16, seed: int = 0, longitudes: np.ndarray = LONGITUDES) -> xr.DataArray:
    """Return a smooth periodic sea with one land mass across the seam."""
    noise = np.random.default_rng(seed).normal(size=(dates, rows, len(longitudes)))
    values = gaussian_filter(noise, (2, 2, 2.5), mode=("nearest", "nearest", "wrap"))
    values = 15 + values / values.std()
    values[:, 2:5, :4] = values[:, 3:6, -3:] = np.nan
    time = np.datetime64("2010-01-01", "ns") + np.arange(dates) * np.timedelta64(1, "D")
    return xr.DataArray(
        values.astype(np.float32),
        dims=("time", "lat", "lon"),
        coords={"time": time, "lat": np.linspace(-60, 60, rows), "lon": longitudes},
        name="sst",
        attrs={"units": "degC"},
    )


def turned(field: xr.DataArray | xr.Dataset, by: int = HALF) -> xr.DataArray | xr.Dataset:
    """Return the same columns from another meridian on."""
    return field.roll(lon=by, roll_coords=True)


@pytest.fixture(scope="module")
def gappy():
    return geogan.corrupt(globe(), "cloud_mask:coverage=0.4,scale=4", seed=1)


@pytest.fixture(scope="module")
def model(gappy):
    """Return a model of a few training steps with large last layers, so that the networks contribute."""
    prior = GaussianPrior(length=6.0, persistence=8.0, noise=0.05, tilt=0.2, detail=0.6)
    fitted = make_reconstructor(
        "cloud_mask:scale=4",
        first_guess=prior,
        blocks=2,
        posterior_draws=1,
        window=1,
        width=4,
        crop=64,
        batch=2,
        steps=2,
        precision="float32",
        threads=1,
        members=2,
        covariates="distance_to_coast",
    ).fit(gappy)
    found = fitted.model_
    random = torch.Generator().manual_seed(0)
    for network in (found.network, found.error):
        torch.nn.init.normal_(network.leave.weight, std=0.3, generator=random)
    return dataclasses.replace(found, smoothing=2)


def close(one: xr.Dataset, other: xr.Dataset, tolerance: float) -> None:
    assert set(one.data_vars) == set(other.data_vars)
    for name in one.data_vars:
        a, b = one[name].values, other[name].values
        assert (np.isnan(a) == np.isnan(b)).all()
        assert np.nanmax(np.abs(a.astype(float) - b)) < tolerance, name


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("by", [HALF, 8, -4])
def test_one_tile_from_another_meridian_on(model, gappy, by, lazy):
    # The model was trained on the field as it was: it knows where the turned one lies.
    other = turned(gappy, by).chunk(lon=7) if lazy else turned(gappy, by)
    here, there = (fill_field(model, Field.of(field), FillOptions(members=4)) for field in (gappy, other))
    close(turned(there.compute(), -by), here, 5e-3)


def test_the_same_longitudes_counted_otherwise(model, gappy):
    west = gappy.assign_coords(lon=(gappy.lon + 180) % 360 - 180).sortby("lon")
    here, there = fill_field(model, Field.of(gappy)), fill_field(model, Field.of(west))
    there = there.assign_coords(lon=there.lon % 360).sortby("lon")
    close(there, here, 5e-3)


def test_the_seam_is_like_any_column(model, gappy):
    """Predicted errors at the seam are those of the interior."""
    flat = fill_field(model, Field.of(gappy.drop_vars("lon")))
    round_ = fill_field(model, Field.of(gappy))
    differ = np.nanmax(np.abs(flat.sst.values - round_.sst.values), (0, 1))
    assert differ[[0, -1]].max() > 10 * differ[HALF - 4 : HALF + 4].max()


@pytest.mark.parametrize("is_cut", [False, True])
def test_many_tiles_and_tasks(model, gappy, is_cut):
    sizes = TaskSizes(tile=12, halo=8, dates=4, values=2 * CUT if is_cut else 10**9, read_values=10**9)
    field = gappy[:6]
    options, archive = FillOptions(members=2, sizes=sizes), prepare_archive(model, Field.of(field))
    whole = fill_field(model, Field.of(field), options)
    plan = plan_tasks(model, archive, members=2, sizes=sizes)
    assert [tile.read.stop - tile.read.start for tile in plan.tile_columns] == [28] * 4
    assert (len(plan.columns) > 1) == is_cut
    # By a whole tile, all that is computed is the same.
    close(turned(fill_field(model, Field.of(turned(field, 12)), options), -12), whole, 2e-3)
    # Cut elsewhere, a halo of 8 cells is not all that counts.
    by_half_a_tile = turned(fill_field(model, Field.of(turned(field, 4)), options), -4)
    off = by_half_a_tile.sst.values - whole.sst.values
    at_the_seam, inside = np.nanstd(off[..., [-2, -1, 0, 1]]), np.nanstd(off)
    assert at_the_seam < 2 * inside < 0.2


def test_tasks_agree_with_the_whole_to_the_last_bit(model, gappy):
    archive, found = prepare_archive(model, Field.of(gappy)), []
    for values, parts in ((10**9, 1), (3 * CUT, 2)):
        sizes = TaskSizes(tile=12, halo=4, dates=1, values=values, read_values=10**9)
        plan = plan_tasks(model, archive, dates=slice(6, 7), members=3, sizes=sizes)
        assert (plan.size, len(plan.rows), len(plan.columns)) == (1, 1, parts)
        estimates = [estimate(model, archive, task, plan, members=3) for task in plan.tasks]
        found.append([np.concatenate(each, -1) for each in zip(*estimates, strict=True)])
    for whole, joined in zip(*found, strict=True):
        np.testing.assert_array_equal(joined, whole)


def test_a_part_of_the_globe(model, gappy):
    # It has edges, wherever it lies: a part across the seam is what it would be anywhere.
    part = turned(gappy).isel(lon=slice(10, 38))
    assert part.lon.values[0] > part.lon.values[-1]
    across = fill_field(model, Field.of(part))
    assert not Archive.of(
        Field.of(part, domain=np.ones((16, 28), bool)), model.standardiser.part(slice(None), slice(0, 28))
    ).is_periodic
    moved = dataclasses.replace(
        model,
        domain=np.roll(model.domain, HALF, 1),
        standardiser=dataclasses.replace(
            model.standardiser, coefficients=np.roll(model.standardiser.coefficients, HALF, -1)
        ),
        covariates=dataclasses.replace(model.covariates, maps=np.roll(model.covariates.maps, HALF, -1)),
        x=np.roll(model.x, HALF),
    )
    close(across, fill_field(moved, Field.of(part)), 1e-6)


def test_longitudes_off_the_models_are_refused(model, gappy):
    with pytest.raises(InputError, match="lon of sst .* is not part of the model's grid"):
        fill_field(model, Field.of(gappy.assign_coords(lon=gappy.lon + 2.0)))
    backwards = gappy.isel(lon=slice(None, None, -1))
    with pytest.raises(InputError, match="is not part of the model's grid"):
        fill_field(model, Field.of(backwards))


@pytest.mark.parametrize("memory", [None, 160_000, 64_000])
def test_training_sees_across_the_seam(gappy, memory):
    """In memory and from disk, with chunk groups as wide as the globe and narrower, windows lie across the seam."""
    read: list[slice] = []
    original = Archive.read

    def seen(self, t, y=slice(None), x=slice(None), **named):
        read.append(x)
        return original(self, t, y, x, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Archive, "read", seen)
        patch.setattr(setup, "BLOCK_SIDE", 16)
        patch.setattr(run, "BLOCK_SIDE", 16)
        field = gappy
        if memory:
            field = geogan.corrupt(globe(dates=56), "cloud_mask:coverage=0.4,scale=4", seed=1).chunk(time=4, lon=8)
        fitted = make_reconstructor(
            "cloud_mask:scale=4",
            window=1,
            width=4,
            crop=16,
            batch=2,
            steps=60,
            precision="float32",
            threads=1,
            memory=memory or TrainConfig.memory,
            **QUICK,
        ).fit(field)
    assert fitted.model_.network is not None
    starts = [x.start for x in read if x.start is not None and x.stop - x.start == 16]
    assert any(x.stop > 48 for x in read if x.start is not None)
    assert len(set(starts)) > (2 if memory else 5)


def test_a_first_column_that_comes_twice_is_refused(gappy):
    twice = globe(longitudes=np.linspace(0, 360, 49))
    named = "the first and the last column of variable 'sst' have the same longitude .0 and 360.; drop one"
    with pytest.raises(InputError, match=named):
        make_reconstructor("cloud_mask", steps=1).fit(twice.where(twice > 15))
    with pytest.raises(InputError, match=named):
        geogan.corrupt(twice, "cloud_mask:coverage=0.4")


def test_files_are_read_alike(tmp_path, model, gappy):
    gappy.to_dataset().to_netcdf(tmp_path / "sst.nc")
    turned(gappy).to_dataset().to_zarr(tmp_path / "sst.zarr")
    a, b = (open_field(str(tmp_path / name)) for name in ("sst.nc", "sst.zarr"))
    close(turned(fill_field(model, Field.of(b)).compute()), fill_field(model, Field.of(a)).compute(), 5e-3)


def test_on_two_dimensional_longitudes(model, gappy):
    lat, lon = np.meshgrid(gappy.lat.values, gappy.lon.values, indexing="ij")
    flat = gappy.drop_vars(["lat", "lon"]).rename(lat="y", lon="x")
    maps = flat.assign_coords(
        lat=(("y", "x"), lat, {"units": "degrees_north"}), lon=(("y", "x"), lon, {"units": "degrees_east"})
    )
    here, there = fill_field(model, Field.of(gappy)), fill_field(model, Field.of(maps))
    for name in here.data_vars:
        np.testing.assert_array_equal(here[name].values, there[name].values)
    other = maps.roll(x=HALF, roll_coords=True)
    np.testing.assert_allclose(fill_field(model, Field.of(other)).sst.roll(x=-HALF).values, here.sst.values, atol=5e-3)


def test_the_archives_covariance_reaches_across_the_seam():
    values = globe(dates=80, rows=8, longitudes=np.arange(0, 360, 30.0)).values
    anomaly = torch.from_numpy(np.nan_to_num(values - 15))[:, None]
    mask = torch.from_numpy(np.isfinite(values).astype("f4"))[:, None]
    sea = mask[0, 0]

    def found(by: int) -> torch.Tensor:
        turn = [part.roll(by, -1) for part in (anomaly, mask, sea)]
        return ArchivePrior.fit(*turn, GaussianPrior(length=4.0, is_periodic=True)).covariance[0].view(8, 12, 8, 12)

    torch.testing.assert_close(found(5).roll((-5, -5), (1, 3)), found(0), atol=1e-5, rtol=1e-3)
    whole = ArchivePrior(torch.rand(1, 96, 96))
    turned = whole.part(slice(0, 8), slice(5, 17), (8, 12))
    places = torch.arange(96).view(8, 12).roll(-5, 1).flatten()
    assert torch.equal(turned.covariance[0], whole.covariance[0][places][:, places])


def test_the_judge_does_not_know_where_the_seam_is(model, gappy):
    for side in (128, 8):
        # All of the grid; and, of a larger one, the cells around what is withheld.
        judges = []
        for field in (gappy, turned(gappy)):
            archive = prepare_archive(model, Field.of(field), withheld=True)
            judge = Judge.of(archive, model.operator, model.prior, frames=3, draws=2, selection=Selection(side=side))
            assert judge.is_periodic == (side == 128)
            judges.append(judge)
            assert {stretch.values.shape[-1] for stretch in judge.films} == {48 if side == 128 else 16}
        if side == 128:
            errors = [judge.scores(model.network, model.error) for judge in judges]
            assert errors[0] == pytest.approx(errors[1], rel=1e-2)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_the_command_line(tmp_path, monkeypatch, gappy, suffix):
    """Train, fill in tasks and as a whole, from another meridian on; the product is marked as periodic."""
    monkeypatch.chdir(tmp_path)
    gappy.to_dataset().to_netcdf("sst.nc")
    turned(gappy).to_dataset().to_netcdf("turned.nc")
    train("sst.nc", operator="cloud_mask:scale=4", steps=3, width=4, out="run", threads=1, precision="float32", **QUICK)
    products = {}
    parts = TaskSizes(tile=12, halo=8, dates=3, values=CUT, read_values=10**9)
    for name, sizes in (("sst", TaskSizes()), ("turned", TaskSizes()), ("parts", parts)):
        out = f"{name}-filled.{suffix}"
        data = "turned.nc" if name == "turned" else "sst.nc"
        fill_files(data, "run", out, threads=1, sizes=sizes, time="2010-01-03/2010-01-07")
        product = xr.open_dataset(out) if suffix == "nc" else xr.open_zarr(out, consolidated=False)
        assert '"is_periodic": true' in product.attrs["geogan_fill"]
        products[name] = product.load()
    close(turned(products["turned"])[["sst", "sst_std"]], products["sst"][["sst", "sst_std"]], 5e-3)
    measured = gappy[2:7].values
    observed = np.isfinite(measured)
    for product in (products["sst"], products["parts"]):
        np.testing.assert_array_equal(product.sst.values[observed], measured[observed])
    assert np.nanstd(products["parts"].sst.values - products["sst"].sst.values) < 0.1
    assert info("sst.nc")["grid"]["is_periodic"] is True
