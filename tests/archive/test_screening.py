"""Isolated outliers are left out for any tiling and chunking; supported observations stay."""

import dataclasses
import json
import re

import numpy as np
import pytest
import xarray as xr
from bad_input import run
from fill_files import fill
from runs import BRIEF, QUICK, make_reconstructor, train

import geogan
from geogan.archive import Archive, Standardiser
from geogan.archive.screening import Screen, count_suspicious
from geogan.evaluation import Scoring
from geogan.fields.field import Field
from geogan.fields.marks import is_screened, is_unreadable, screened_mark
from geogan.filling import FillOptions, Task, adapt_model
from geogan.filling.plan import TaskSizes
from geogan.filling.reader import TaskReader
from geogan.filling.tiles import Span
from geogan.operators.errors import InputError
from geogan.pipelines.evaluate import Inputs, evaluate
from geogan.pipelines.info import info
from geogan.product import write_dataset
from geogan.reconstructor import Reconstructor

SCREENED = 5
SMALL = {"window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 1, "precision": "float32", "threads": 1}


@pytest.fixture(scope="module")
def spoilt(gappy):
    """Return the gappy sea with 1 % of the observations off by 15 standard deviations, and their positions."""
    wrong = (np.random.default_rng(5).random(gappy.shape) < 0.01) & gappy.notnull().values
    spread = float((gappy - gappy.mean("time")).std())
    return gappy.copy(data=np.where(wrong, gappy.values - 15 * spread, gappy.values).astype(gappy.dtype)), wrong


@pytest.fixture(scope="module")
def learned(spoilt, domain, prior):
    said = []
    fitted = make_reconstructor("cloud_mask:scale=5", screen=True, **SMALL | QUICK)
    fitted.fit(spoilt[0], domain=domain, message=said.append)
    return fitted, said


def smooth(seed=0, shape=(6, 1, 40, 50)):
    """Return anomalies with structure in space and time, of standard deviation 1."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape), (1, 0, 4, 4))
    return field / field.std()


def test_isolated_values_are_suspicious_and_supported_ones_are_not():
    anomalies = smooth()
    anomalies[2, 0, 10:16, 10:16] += 9  # an event
    anomalies[3, 0, 10:16, 10:16] += 9
    anomalies[1, 0, 30, 30] = -15
    anomalies[4, 0, 0, 0] = 12  # at a corner
    anomalies[:, 0, 20:25] = np.nan
    anomalies[5, 0, 22, 22] = 30  # in a gap, without neighbours
    screen = Screen.fit([anomalies], threshold=5.0)
    found = np.argwhere(screen.suspicious(anomalies)).tolist()
    assert found == [[1, 0, 30, 30], [4, 0, 0, 0], [5, 0, 22, 22]]
    assert not Screen.fit([smooth()], threshold=5.0).suspicious(smooth(), threshold=5.0).any()


def test_a_higher_threshold_finds_less():
    anomalies = smooth()
    for number, value in enumerate((6, 9, 14, 30)):
        anomalies[1, 0, 5 + 7 * number, 5] = value
    counts = [int(Screen.fit([anomalies]).suspicious(anomalies, threshold=t).sum()) for t in (4, 7, 12, 20, 100)]
    assert counts == sorted(counts, reverse=True) and counts[0] >= 4 and counts[-1] == 0


def test_five_percent_of_outliers_hardly_change_the_scales():
    clean = smooth()
    spoilt = np.where(np.random.default_rng(1).random(clean.shape) < 0.05, -20.0, clean)
    first, second = (Screen.fit([part]) for part in (clean, spoilt))
    assert second.spread[0] < 1.5 * first.spread[0] and second.local[0] < 1.5 * first.local[0]
    found = second.suspicious(spoilt, threshold=5.0)
    assert (found == (spoilt == -20)).mean() > 0.999


def test_samples_do_not_support_each_other():
    anomalies = np.repeat(smooth(shape=(1, 1, 40, 50)), 3, axis=0)
    anomalies[1, 0, 7, 7] = 20
    anomalies[[0, 2], 0, 6:9, 6:9] = 20
    screen = Screen.fit([smooth()])
    dates, samples = (screen.suspicious(anomalies, independent=kind)[1, 0, 7, 7] for kind in (False, True))
    assert not dates and samples


def test_each_band_has_its_own_scales():
    both = np.concatenate([smooth(), 0.01 * smooth(1)], 1)
    both[2, 1, 9, 9] = 0.2
    screen = Screen.fit([both], threshold=5.0)
    assert np.argwhere(screen.suspicious(both)).tolist() == [[2, 1, 9, 9]]
    nothing = np.full_like(both, np.nan)
    assert Screen.fit([nothing]) is None and not screen.suspicious(nothing).any()


def test_the_result_does_not_depend_on_chunks(spoilt, domain):
    field, _ = spoilt
    archive = Archive.of(Field.of(field, domain=domain), Standardiser.fit(Field.of(field, domain=domain)))
    piece = archive.read(slice(0, 30))
    screen = Screen.fit([np.where(piece.mask > 0, piece.values, np.nan)], threshold=5.0)
    archive = dataclasses.replace(archive, screen=screen)
    whole = archive.screened().field.values
    assert is_screened(whole).sum() > 20
    for chunks in ({"time": 1}, {"time": 7, "lat": 5, "lon": 9}, {"lat": 3}):
        lazy = Archive.of(Field.of(field.chunk(chunks), domain=domain), archive.standardiser, memory=40)
        lazy = dataclasses.replace(lazy, screen=screen).screened().field
        assert lazy.chunks is not None
        np.testing.assert_array_equal(is_screened(lazy.values), is_screened(whole))
        np.testing.assert_array_equal(lazy[3:5, :, 4:9, 2].values, whole[3:5, :, 4:9, 2])


def test_neighbours_are_found_across_the_seam(spoilt):
    """A globe turned by half is screened the same, in memory, lazily and task by task."""
    field, _ = spoilt
    globe = xr.DataArray(
        field.values[:, :, :24], dims=("time", "lat", "lon"), name="sst", attrs=field.attrs,
        coords={"time": field.time.values, "lat": np.linspace(-40, 40, 20), "lon": np.arange(24) * 15.0},
    ).assign_coords(lat=("lat", np.linspace(-40, 40, 20), {"units": "degrees_north"}),
                    lon=("lon", np.arange(24) * 15.0, {"units": "degrees_east"}))  # fmt: skip
    turned = globe.roll(lon=12, roll_coords=False)
    domain, found = np.ones((20, 24), bool), []
    for one in (globe, turned):
        standardiser = Standardiser(np.full((1, 1, 20, 24), float(globe.median()), "f4"), np.array([1.0]))
        screen = Screen((0.0,), (0.5,), (0.25,), threshold=5.0)
        archive = dataclasses.replace(Archive.of(Field.of(one, domain=domain), standardiser), screen=screen)
        assert archive.is_periodic
        lazy = Archive.of(Field.of(one.chunk(lon=7, time=4), domain=domain), standardiser, memory=40)
        lazy = dataclasses.replace(lazy, screen=screen)
        rows, columns = (Span(slice(0, size), slice(0, size)) for size in (20, 24))
        dates = Span(slice(3, 9), slice(2, 11))
        part, _ = TaskReader(archive).hold(Task(dates, rows, columns, dates.inner))
        whole = is_screened(archive.screened().field.values)
        np.testing.assert_array_equal(is_screened(part.field.values), whole[2:11])
        np.testing.assert_array_equal(is_screened(lazy.screened().field.values), whole)
        found.append(whole)
    assert found[0].any()
    np.testing.assert_array_equal(np.roll(found[0], 12, -1), found[1])


def test_marks_survive_conversion_and_differ_from_gaps():
    for dtype in ("f2", "f4", "f8", ">f4"):
        values = np.array([1.0, np.nan, screened_mark(np.dtype(dtype))], dtype)
        assert is_screened(values).tolist() == [False, False, True] and not is_unreadable(values).any()
        assert is_screened(values.astype("f8")).tolist() == [False, False, True]
    assert not is_screened(np.arange(3)).any()


def test_a_fill_estimates_and_flags_what_training_left_out(learned, spoilt, truth, gappy):
    fitted, said = learned
    field, wrong = spoilt
    (sentence,) = [each for each in said if each.startswith("screen: ")]
    assert f"{wrong.sum():,} of {int(field.count()):,}" in sentence
    filled = fitted.fill(field)
    source = filled.sst_source
    np.testing.assert_array_equal(source.values == SCREENED, wrong)
    assert source.attrs["flag_meanings"].split()[SCREENED] == "screened" and SCREENED in source.attrs["flag_values"]
    # The estimate stands where the outlier was, with an error of its own; other observations stay as they were.
    off = np.abs(filled.sst.values - truth.values)[wrong]
    assert off.max() < 0.3 * np.abs(field.values - truth.values)[wrong].min()
    assert np.isfinite(filled.sst_std.values[wrong]).all()
    seen = field.notnull().values & ~wrong
    np.testing.assert_array_equal(filled.sst.values[seen], field.values[seen])
    assert (source.values[seen] == 0).all()
    xr.testing.assert_identical(fitted.fill(field.chunk(time=4)).compute(), filled)


def test_a_screened_model_is_nearly_that_of_clean_observations(learned, spoilt, truth, gappy, domain):
    hidden = (gappy.isnull() & truth.notnull()).values
    errors = {}
    for name, field, screen in (("clean", gappy, False), ("outliers", spoilt[0], False), ("screened", spoilt[0], True)):
        fitted = make_reconstructor("cloud_mask:scale=5", screen=screen, **SMALL | QUICK).fit(field, domain=domain)
        errors[name] = float(np.sqrt(np.mean((fitted.fill(field).sst.values - truth.values)[hidden] ** 2)))
    assert errors["screened"] < 1.1 * errors["clean"] and errors["outliers"] > 1.5 * errors["clean"]


def test_screening_is_off_by_default_and_changes_nothing_on_clean_fields(reconstructor, gappy):
    filled = reconstructor.fill(gappy)
    assert filled.sst_source.attrs["flag_meanings"] == "observed filled land refused unreadable"
    asked = reconstructor.fill(gappy, screen=True)
    np.testing.assert_array_equal(asked.sst.values, filled.sst.values)
    assert reconstructor.model_.screen.threshold is None


def test_a_fill_may_switch_screening_on_or_off(learned, spoilt, reconstructor, tmp_path):
    field, wrong = spoilt
    assert not (learned[0].fill(field, screen=False).sst_source.values == SCREENED).any()
    assert ((reconstructor.fill(field, screen=True).sst_source.values == SCREENED) == wrong).mean() > 0.999
    assert not (learned[0].fill(field, screen=1000).sst_source.values == SCREENED).any()
    run_folder = learned[0].save(tmp_path / "run")
    by_accessor = field.geogan.fill(run_folder)
    np.testing.assert_array_equal(by_accessor.sst_source.values == SCREENED, wrong)
    assert not (field.geogan.fill(run_folder, screen=False).sst_source.values == SCREENED).any()
    without = dataclasses.replace(reconstructor.model_, screen=None)
    with pytest.raises(InputError, match="has no statistics of its anomalies.*--screen"):
        adapt_model(without, FillOptions(screen=True))
    for wrong_value in ("yes", -1, float("nan"), 0.5, float("inf")):
        with pytest.raises(InputError, match="screen must be"):
            learned[0].fill(field, screen=wrong_value)
        with pytest.raises(InputError, match="screen must be"):
            make_reconstructor(screen=wrong_value)
    with pytest.raises(InputError, match="holds whole numbers"):
        learned[0].fill((100 * field.fillna(0)).astype("int16"))


def test_the_error_limit_refuses_screened_cells_too(learned, spoilt):
    field, wrong = spoilt
    filled = learned[0].fill(field, max_error=1e-6)
    np.testing.assert_array_equal(filled.sst_source.values == SCREENED, wrong)
    assert np.isnan(filled.sst.values[wrong]).all()


@pytest.fixture
def files(spoilt, domain, tmp_path, monkeypatch):
    """The working folder, with the spoilt sea in a Zarr store and a NetCDF file."""
    monkeypatch.chdir(tmp_path)
    sea = xr.Dataset({"sst": spoilt[0], "sea_mask": (("lat", "lon"), domain.astype("i1"))})
    sea.to_netcdf("sst.nc")
    sea.to_zarr("sst.zarr", encoding={"sst": {"chunks": (4, 10, 12)}}, consolidated=False)
    return tmp_path


def test_the_option_of_training_holds_for_filling_and_evaluation(files, spoilt):
    _, wrong = spoilt
    line = "train --data sst.nc --out run --domain sea_mask --screen --steps 1 --width 4 --threads 1 --window 1 "
    result = run(line + "--crop 16 --precision float32 --no-first-guess")
    assert result.exit_code == 0, result.output
    assert re.search(r"support them: [0-9]+ of", " ".join(result.stderr.split()))
    assert json.loads((files / "run" / "model.json").read_text())["screen"]["threshold"] == 5.0
    for data, out in (("sst.nc", "a.zarr"), ("sst.zarr", "b.nc")):
        result = run(f"fill --data {data} --model run --out {out} --threads 1")
        assert result.exit_code == 0, result.output
        assert "screened and replaced" in " ".join(result.stderr.split())
        filled = xr.open_zarr(out, consolidated=False) if out.endswith("zarr") else xr.open_dataset(out)
        np.testing.assert_array_equal(filled.sst_source.values == SCREENED, wrong)
    result = run("fill --data sst.nc --model run --out c.nc --threads 1 --no-screen")
    assert result.exit_code == 0 and not (xr.open_dataset("c.nc").sst_source.values == SCREENED).any()
    # An evaluation leaves the same ones out: what was withheld is hidden by the gaps that training saw.
    rows = {row.method: row.score for row in evaluate("sst.nc", files / "run", Scoring("climatology"))}
    unscreened = evaluate("sst.nc", files / "run", Scoring("climatology"), inputs=Inputs(screen=False))
    loose = {row.method: row.score for row in unscreened}
    assert rows["climatology"].rmse < 0.6 * loose["climatology"].rmse
    assert run("fill --data sst.nc --model run --out map.nc --screen-threshold 3").exit_code == 2


def test_a_task_too_large_for_memory_is_screened_the_same(learned, files):
    model = learned[0].save(files / "run")
    one = xr.open_zarr(fill("sst.zarr", model, files / "one.zarr", threads=1), consolidated=False).load()
    sizes = TaskSizes(read_values=10)
    other = xr.open_zarr(fill("sst.zarr", model, files / "other.zarr", threads=1, sizes=sizes), consolidated=False)
    np.testing.assert_array_equal(one.sst_source.values, other.sst_source.values)
    np.testing.assert_array_equal(one.sst.values, other.sst.values)


def test_archives_on_disk_are_screened_when_they_are_read(files, spoilt, domain):
    run_folder = train("sst.zarr", out=files / "streamed", domain="sea_mask", screen=True, memory=4000, **SMALL | QUICK)
    filled = Reconstructor.load(run_folder).fill(spoilt[0])
    np.testing.assert_array_equal(filled.sst_source.values == SCREENED, spoilt[1])


def test_info_and_train_warn_about_outliers(files, spoilt, gappy, domain):
    found = info("sst.nc")["outliers"]
    assert found["suspicious_share"] == pytest.approx(0.01, rel=0.4) and "--screen" in found["advice"]
    write_dataset(xr.Dataset({"sst": gappy}), files / "clean.nc")
    assert "outliers" not in info("clean.nc")
    said = []
    make_reconstructor("cloud_mask:scale=5", **SMALL | QUICK).fit(spoilt[0], domain=domain, message=said.append)
    assert any("of the observations lie more than 5 robust standard deviations" in each for each in said)
    said.clear()
    make_reconstructor("cloud_mask:scale=5", **SMALL | QUICK).fit(gappy, domain=domain, message=said.append)
    assert not any("--screen" in each for each in said)


def test_the_first_guess_is_not_fitted_to_outliers(spoilt, gappy, domain):
    priors = []
    for field in (gappy[:10, :14], spoilt[0][:10, :14]):
        fitted = make_reconstructor("cloud_mask:scale=5", **SMALL | BRIEF).fit(field, domain=domain[:14])
        priors.append(fitted.model_.prior)
    assert 0.4 < priors[1].noise / priors[0].noise < 2.5


def test_a_scene_and_several_variables(spoilt, gappy, domain):
    field, wrong = spoilt
    scene = field.isel(time=8, drop=True)
    filled = (
        make_reconstructor("cloud_mask:scale=5", screen=True, **SMALL | QUICK).fit(scene, domain=domain).fill(scene)
    )
    found = filled.sst_source.values == SCREENED
    assert found.sum() >= 0.8 * wrong[8].sum() and (found & ~wrong[8]).sum() == 0
    both = xr.Dataset({"sst": field, "chl": np.exp(0.3 * (gappy - 14)).assign_attrs(units="mg m-3")})
    fitted = make_reconstructor("observed_gaps", screen=6.0, transform="none,log", **SMALL | QUICK).fit(both)
    filled = fitted.fill(both)
    np.testing.assert_array_equal(filled.sst_source.values == SCREENED, wrong)
    assert (filled.chl_source.values == SCREENED).mean() < 1e-3


@pytest.mark.parametrize("shape", [(1, 1, 3, 3), (2, 1, 8, 8), (20, 2, 9, 9), (4, 1, 1, 12)])
def test_counting_takes_any_shape(shape):
    values = np.random.default_rng(0).normal(size=shape)
    found, observed = count_suspicious(values)
    assert observed == values.size and found <= 1
    assert count_suspicious(np.full(shape, np.nan)) == (0, 0)
    assert count_suspicious(np.full(shape, 4.0))[0] == 0


def test_rain_is_not_suspicious():
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(2).normal(size=(30, 1, 60, 60)), (3, 0, 4, 4))[9:21]
    rain = np.maximum(field / field.std() - 1, 0) ** 2
    found, observed = count_suspicious(rain)
    assert found / observed < 3e-3
    assert geogan.InputError is InputError
