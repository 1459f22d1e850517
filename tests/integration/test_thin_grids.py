"""Grids thinner than a network needs, such as transects, are filled by the prior alone."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import BRIEF, QUICK, make_reconstructor
from typer.testing import CliRunner

import geogan
from geogan.cli import app
from geogan.operators.errors import InputError


def transect(rows, columns, steps=12, seed=0, kind="f4"):
    """Return a wave along the longer side, with moving gaps."""
    random = np.random.default_rng(seed)
    y, x = np.arange(rows)[:, None], np.arange(columns)[None]
    wave = np.stack([15 + np.sin(0.4 * (x + y) + 0.2 * step) for step in range(steps)])
    values = wave + 0.01 * random.normal(size=wave.shape)
    hidden = random.random(wave.shape) < 0.3
    hidden[:, 0, 0] = False
    values[hidden] = np.nan
    time = np.datetime64("2001-01-01", "ns") + np.arange(steps) * np.timedelta64(1, "D")
    coords = {"time": time, "lat": 40 + 0.1 * np.arange(rows), "lon": 0.1 * np.arange(columns)}
    field = xr.DataArray(values.astype(kind), dims=("time", "lat", "lon"), coords=coords, name="sst")
    return field.assign_attrs(units="degC"), wave, hidden


def fitted(field, **more):
    return make_reconstructor("observed_gaps", window=1, width=4, batch=2, steps=1, threads=1, **QUICK | more).fit(
        field
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([(1, 12), (1, 40), (12, 1), (30, 1), (2, 20), (3, 17), (17, 3), (7, 9), (7, 7), (5, 64)]),
    st.integers(0, 99),
    st.sampled_from(["f4", "f8"]),
)
def test_observed_cells_stay_and_gaps_are_filled(shape, seed, kind):
    field, wave, hidden = transect(*shape, seed=seed, kind=kind)
    filled = fitted(field).fill(field)
    observed = ~hidden
    assert filled.sst.values[observed].tobytes() == field.values[observed].tobytes()
    assert np.isfinite(filled.sst.values).all()
    assert ((filled.sst_source.values == 0) == observed).all()
    assert np.abs(filled.sst.values - wave)[hidden].max() < 2.5  # within the wave's range


def test_the_prior_is_better_than_the_mean():
    field, wave, hidden = transect(1, 60, steps=20)
    filled = fitted(field, **BRIEF).fill(field)
    error = np.sqrt(np.mean((filled.sst.values - wave)[hidden] ** 2))
    assert error < 0.3 * wave.std(axis=0).mean()


def test_what_is_said_and_kept(tmp_path):
    field, *_ = transect(1, 24)
    field.to_netcdf(tmp_path / "a.nc")
    line = f"train --data {tmp_path}/a.nc --operator observed_gaps --steps 2 --out {tmp_path}/run"
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 0, result.output
    assert "the grid has 1 x 24 cells, fewer than a network needs" in result.stderr
    for line in (
        f"fill --data {tmp_path}/a.nc --model {tmp_path}/run --out {tmp_path}/filled.zarr",
        f"fill --data {tmp_path}/a.nc --model {tmp_path}/run --out {tmp_path}/members.nc --members 4",
        f"info {tmp_path}/run",
        f"evaluate --data {tmp_path}/a.nc --model {tmp_path}/run --methods climatology,gaussian,model",
    ):
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, (line, result.output)
    filled = geogan.open_field(tmp_path / "filled.zarr", variable="sst")
    assert filled.dims == field.dims and int(filled.isnull().sum()) == 0


def test_without_a_first_guess_nothing_could_fill_it():
    field, *_ = transect(3, 24)
    with pytest.raises(InputError, match="has 3 x 24 cells, where a network needs 8 x 8 or more"):
        fitted(field, first_guess=False)


def test_a_single_scene_may_be_thin():
    field, wave, hidden = transect(4, 80)
    filled = fitted(field[0], **BRIEF).fill(field[0])
    assert np.isfinite(filled.sst.values).all()
