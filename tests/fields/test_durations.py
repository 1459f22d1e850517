"""Durations are shown in a unit of their size."""

import numpy as np
import pytest
import xarray as xr
from runs import QUICK, make_reconstructor
from typer.testing import CliRunner

from geogan.cli import app
from geogan.fields.durations import duration, rate


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (0.0, "0 seconds"), (5 / 86400, "5 seconds"), (60 / 86400, "1 minute"), (10 / 1440, "10 minutes"),
        (0.04167, "1 hour"), (1 / 24, "1 hour"), (0.25, "6 hours"), (0.99999, "1 day"), (1.5, "1.5 days"),
        (30.4369, "30.4 days"), (365.2425, "365 days"), (12345.6, "12346 days"), (float("inf"), "endless"),
    ],
)  # fmt: skip
def test_words(days, words):
    assert duration(days) == words


@pytest.mark.parametrize(
    ("per_day", "words"),
    [
        (0.0, "0 per day"),
        (-2.5, "-2.5 per day"),
        (24.0, "24 per day"),
        (336.0, "14 per hour"),
        (1440.0, "1 per minute"),
    ],
)
def test_rates_in_words(per_day, words):
    assert rate(per_day) == words


@pytest.mark.parametrize(("minutes", "words"), [(10, "10 minutes"), (60, "1 hour"), (720, "12 hours"), (1440, "1 day")])
def test_steps_and_persistence_are_told_in_their_unit(tmp_path, minutes, words):
    times = np.datetime64("2001-01-01T06:00", "ns") + np.arange(12) * np.timedelta64(minutes, "m")
    values = np.random.default_rng(0).normal(size=(12, 12, 12))
    for step in range(12):
        values[step, 2:6, step % 6 : step % 6 + 4] = np.nan
    maps = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": times}, name="rain")
    maps.to_netcdf(tmp_path / "rain.nc")
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "rain.nc")]).stdout
    assert f"median step {words}" in " ".join(shown.split()), shown
    told = []
    make_reconstructor("observed_gaps", window=1, width=4, crop=8, batch=2, steps=1, precision="float32", **QUICK).fit(
        maps, message=told.append
    )
    guess = next(line for line in told if line.startswith("first guess"))
    assert f"persistence {duration(8.0)}" in guess
