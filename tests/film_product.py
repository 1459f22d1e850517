"""A small film and its regions, for the tests of products."""

import resource
import signal
from contextlib import contextmanager

import numpy as np
import xarray as xr

from geogan.product import Product

SHAPE = (5, 6, 8)
CHUNKS = {"time": 2, "lat": 3}


def film(*, packed=False, times=None):
    """Return a film with decreasing latitudes, longitudes beyond 180, a scalar depth and some land, in float64."""
    values = np.random.default_rng(0).normal(290, 5, SHAPE).round(2)
    values[:, 0, 1] = np.nan
    values[2, 3] = np.nan
    when = np.arange(SHAPE[0]) * np.timedelta64(6, "h") + np.datetime64("2001-02-27", "ns")
    field = xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={
            "time": when if times is None else times,
            "lat": ("lat", np.linspace(10, -5, SHAPE[1]), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(170, 205, SHAPE[2]), {"units": "degrees_east"}),
            "depth": ((), 0.5, {"units": "m"}),
        },
        attrs={"units": "K", "standard_name": "sea_surface_temperature"},
        name="sst",
    )
    if packed:
        field.encoding = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 273.15}
        field.encoding |= {"_FillValue": -32768, "chunksizes": (1, 6, 8)}
    return field


def regions():
    """Return the six regions of the film, one chunk each in time and latitude."""
    return [{"time": slice(t, min(t + 2, 5)), "lat": slice(y, y + 3)} for t in (0, 2, 4) for y in (0, 3)]


def part(field, region):
    """Return the arrays of one region, as `Product.write` takes them."""
    return {"sst": field.isel(region).values}


def begin(path, field, **options):
    """Begin a product of a film."""
    return Product.begin(path, field.to_dataset(), **({"chunks": CHUNKS, "digest": "a"} | options))


def write_missing(product, field):
    """Write the regions of a product that are not yet on disk."""
    for region in product.missing(regions()):
        product.write(region, part(field, region))


def write_product(path, field, **options):
    """Write a complete product of a film."""
    with begin(path, field, **options) as product:
        write_missing(product, field)
        return product.finish()


@contextmanager
def file_size_limit(size):
    """Let every write beyond a file size fail, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
