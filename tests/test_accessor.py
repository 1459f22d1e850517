"""Accessors hand on what they are given, with full signatures."""

import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import geogan  # noqa: F401
from geogan.corruption import corrupt
from geogan.coverage import coverage
from geogan.fields.synthetic import synthetic_sst
from geogan.operators.errors import InputError


@pytest.fixture(scope="module")
def sea():
    return synthetic_sst(days=3, size=(24, 30), seed=2)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def product(sea):
    filled = sea[["sst"]].copy()
    source = xr.where(sea.sst.lon < -45, 1, 0).broadcast_like(sea.sst).astype("int8")
    source.attrs = {"flag_values": np.array([0, 1], "int8"), "flag_meanings": "observed filled"}
    return filled.assign(sst_source=source)


def test_corrupt_and_coverage(sea):
    operator = "cloud_mask:coverage=0.4,scale=5"
    gappy = sea.sst.geogan.corrupt(operator, seed=4)
    xr.testing.assert_identical(gappy, corrupt(sea.sst, operator, seed=4))
    whole = sea.geogan.corrupt(operator, seed=4)
    xr.testing.assert_identical(whole.sst, gappy)
    xr.testing.assert_identical(whole.sea_mask, sea.sea_mask)
    domain = sea.sea_mask.astype(bool)
    xr.testing.assert_identical(gappy.geogan.coverage(domain=domain), coverage(gappy, domain=domain))
    xr.testing.assert_identical(whole.geogan.coverage(), coverage(gappy))


def test_fill_loads_the_run_and_fills(sea, monkeypatch):
    import geogan.reconstructor

    calls = []

    class Fake:
        model_ = types.SimpleNamespace(observation_error=None)

        @classmethod
        def load(cls, path, *, device):
            calls.append((path, device))
            return cls()

        def fill(self, field, *, error, keep_observed, members, max_error, seed):
            calls.append((field.name, keep_observed))
            assert (error, members, max_error, seed) == (None, 1, None, 0)
            return xr.Dataset()

    monkeypatch.setattr(geogan.reconstructor, "Reconstructor", Fake)
    sea.sst.geogan.fill("runs/a", keep_observed=False, device="cpu")
    sea.geogan.fill("runs/a")
    assert calls == [("runs/a", "cpu"), ("sst", False), ("runs/a", "auto"), ("sst", None)]


def test_plots(sea):
    assert sea.sst.geogan.plot(date="2015-01-03", coast=False).get_title() == "2015-01-03"
    titles = [ax.get_title() for ax in product(sea).geogan.plot(date="2015-01-02").axes]
    assert titles[:3] == ["observed", "filled", "source"]
    with pytest.raises(InputError, match=r"no filled product.*dataset\['sst'\]\.geogan\.plot\(\)"):
        sea.geogan.plot()


def test_the_variable_must_be_told(sea):
    two = sea.assign(ice=sea.sst * 0)
    with pytest.raises(InputError, match="several gridded variables"):
        two.geogan.coverage()
    assert float(two.geogan.coverage(variable="ice").max()) == 0
