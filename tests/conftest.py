"""A small sea for many tests: unequal sides, a coast, an island, uneven dates, persistent clouds."""

import dataclasses
import json
import os
import shutil
import socket

import hypothesis
import numpy as np
import pytest
import torch
import xarray as xr
from runs import PRIOR, make_reconstructor, train

import geogan
from geogan.fields.synthetic import synthetic_sst
from geogan.product import write_dataset

# A run for a commit tries the same examples each time; runs by hand go on looking for others.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sea():
    """Return thirty uneven dates of 20 x 24 cells without clouds: ``sst`` and ``sea_mask``."""
    dates = np.delete(np.arange(36), [3, 4, 11, 19, 20, 30])
    return synthetic_sst(days=36, size=(20, 24), seed=2).isel(time=dates)


@pytest.fixture(scope="session")
def truth(sea):
    return sea["sst"]


@pytest.fixture(scope="session")
def domain(sea):
    return sea["sea_mask"].values == 1


@pytest.fixture(scope="session")
def gappy(truth):
    return geogan.corrupt(truth, "cloud_mask:coverage=0.45,spread=0.2,scale=5,persistence=2", seed=1)


@pytest.fixture(scope="session")
def prior():
    return PRIOR


@pytest.fixture(scope="session")
def reconstructor(gappy, domain, prior):
    """Return a model of a few training steps with a large last layer, so that the network contributes."""
    fitted = make_reconstructor(
        "cloud_mask:scale=5",
        window=1,
        width=4,
        crop=16,
        batch=2,
        steps=2,
        precision="float32",
        threads=1,
        first_guess=prior,
        blocks=2,
        posterior_draws=2,
    ).fit(gappy, domain=domain)
    leave = fitted.model_.network.leave
    torch.nn.init.normal_(leave.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    return fitted


@pytest.fixture(scope="session")
def model(reconstructor):
    return reconstructor.model_


@pytest.fixture(scope="session")
def bare(model):
    """Return the network without a first guess, whose output has a finite reach."""
    return dataclasses.replace(model, prior=None)


@pytest.fixture(scope="session")
def film():
    """Return a function that makes a dataset of some days of 5 x 7 cells with gaps, decreasing latitudes and a mask."""

    def make(steps=6, *, start="2001-06-28"):
        values = np.random.default_rng(1).normal(15, 3, (steps, 5, 7)).round(2)
        values[:, 0, :2] = np.nan
        values[1, 2:, 3:] = np.nan
        return xr.Dataset(
            {
                "sst": (("time", "lat", "lon"), values, {"units": "degree_Celsius"}),
                "sea_mask": (("lat", "lon"), np.isfinite(values[0]).astype("int8")),
            },
            coords={
                "time": np.datetime64(start, "ns") + np.arange(steps) * np.timedelta64(1, "D"),
                "lat": ("lat", np.linspace(40.0, 38.0, 5), {"units": "degrees_north"}),
                "lon": ("lon", np.linspace(355.0, 358.0, 7), {"units": "degrees_east"}),
                "depth": ((), 0.5, {"units": "m"}),
            },
            attrs={"title": "a small sea", "institution": "none"},
        )

    return make


@pytest.fixture(scope="session")
def to_store():
    """Return a function that writes a dataset as a Zarr store without consolidated metadata."""

    def write(dataset, path, **options):
        dataset.to_zarr(path, **{"consolidated": False} | options)
        return path

    return write


@pytest.fixture
def no_network(monkeypatch):
    """Refuse access to the network, and close figures."""
    import matplotlib
    import matplotlib.pyplot as plt

    matplotlib.use("Agg")

    def refuse(*arguments, **named):
        raise AssertionError("a map reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def a_field():
    """Return a function that makes one smooth map, or some dates of it, on given longitudes and latitudes."""

    def make(latitude=None, longitude=None, dates=0):
        latitude = np.arange(40.0, 30.0, -0.5) if latitude is None else latitude
        longitude = np.arange(340.0, 352.0, 0.5) if longitude is None else longitude
        y, x = np.meshgrid(latitude, longitude, indexing="ij")
        field = xr.DataArray(
            20 + np.sin(y / 3) + np.cos(x / 2),
            dims=("lat", "lon"),
            coords={
                "lat": ("lat", latitude, {"units": "degrees_north"}),
                "lon": ("lon", longitude, {"units": "degrees_east"}),
            },
            name="sst",
        )
        if dates:
            time = np.datetime64("2019-03-01", "ns") + np.arange(dates) * np.timedelta64(1, "D")
            field = (field + xr.DataArray(0.1 * np.arange(dates), dims="time")).assign_coords(time=time)
        field.attrs = {"units": "degree_Celsius", "standard_name": "sea_surface_temperature"}
        return field.rename("sst")

    return make


@pytest.fixture(scope="session")
def pictures():
    """Return a function that makes images of 9 x 12 cells, in colour or grey."""

    def make(bands=3, count=4):
        values = np.random.default_rng(0).uniform(-1, 1, (count, bands, 9, 12))
        field = xr.DataArray(values, dims=("sample", "band", "y", "x"), name="image")
        field.attrs = {"units": "1", "valid_min": -1.0, "valid_max": 1.0, "long_name": "image"}
        return field.assign_coords(band=["red", "green", "blue"]) if bands == 3 else field[:, 0]

    return make


@pytest.fixture(scope="session")
def texts():
    """Return a function that lists the texts of a figure, each on one line."""
    import matplotlib
    from cartopy.mpl.gridliner import Gridliner

    def say(figure):
        figure.canvas.draw()
        artists = [text for text in figure.findobj(matplotlib.text.Text) if text.get_visible()]
        for gridliner in figure.findobj(Gridliner):
            artists += [text for text in gridliner.label_artists if text.get_visible()]
        return " | ".join(" ".join(text.get_text().split()) for text in artists)

    return say


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """Return a folder with a gappy sea, its truth, a model of it, a product and a figure."""
    folder = tmp_path_factory.mktemp("originals")
    sea = synthetic_sst(days=24, size=24, seed=3)
    clouds = "cloud_mask:coverage=0.4,scale=5,persistence=2"
    gappy = sea.assign(sst=geogan.corrupt(sea.sst, clouds, seed=1))
    gappy.to_netcdf(folder / "sst.nc")
    sea.to_netcdf(folder / "truth.nc")
    write_dataset(gappy[["sst"]], folder / "product.nc")
    write_dataset(gappy[["sst"]], folder / "product.zarr")
    (folder / "map.png").write_bytes(b"a picture")
    (folder / "notes").mkdir()
    (folder / "notes" / "thesis.txt").write_text("of three years")
    train(
        folder / "sst.nc", out=folder / "model", domain="sea_mask", window=1, width=4, crop=16, batch=2, steps=2,
        precision="float32", threads=1, first_guess=PRIOR, blocks=2, posterior_draws=2,
    )  # fmt: skip
    described = json.loads((folder / "model" / "run.json").read_text())
    (folder / "model" / "run.json").write_text(json.dumps(described | {"data": ["sst.nc"]}))
    return folder


@pytest.fixture
def folder(originals, tmp_path, monkeypatch):
    """Return the working folder of a test, with copies of the originals."""
    shutil.copytree(originals, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"
