"""Global grids with ambiguous columns: one sentence, exit code 2, nothing written."""

import numpy as np
import pytest
import xarray as xr
from bad_input import FILL, case, every_reader, refused


def globe(longitudes, *, name="bad.nc", latitudes=24, **encoding):
    """Return a function that writes a gappy global field on the given longitudes, 1-D or 2-D."""

    def make():
        longitude = np.asarray(longitudes, float)
        random = np.random.default_rng(0)
        values = random.normal(15, 2, (12, latitudes, longitude.shape[-1]))
        values[random.random(values.shape) < 0.3] = np.nan
        lat = np.linspace(-60, 60, latitudes)
        coords = {
            "time": np.datetime64("2001-01-01", "ns") + np.arange(12) * np.timedelta64(1, "D"),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", longitude, {"units": "degrees_east"}),
        }
        dims: tuple[str, ...] = ("time", "lat", "lon")
        if longitude.ndim == 2:
            dims = ("time", "y", "x")
            coords |= {
                "lat": (("y", "x"), np.repeat(lat[:, None], longitude.shape[1], 1), {"units": "degrees_north"}),
                "lon": (("y", "x"), longitude, {"units": "degrees_east"}),
            }
        field = xr.Dataset({"sst": (dims, values.astype("f4"), {"units": "degree_Celsius"})}, coords)
        if name.endswith("zarr"):
            field.to_zarr(name, consolidated=False, **encoding)
        else:
            field.to_netcdf(name)

    return make


SAME = "the first and the last column of", "have the same longitude", "drop one of them"
TURNED = np.r_[np.arange(180, 360, 10), np.arange(0, 181, 10)]
TWO_D = np.repeat(np.linspace(0, 360, 25)[None], 24, 0)
BUT = ("plot", "evaluate", "fill")

CASES = [
    *every_reader("from-0-to-360", "bad.nc", *SAME, "0 and 360", make=globe(np.linspace(0, 360, 25)), but=BUT),
    *every_reader("from-west", "bad.nc", *SAME, "-180 and 180", make=globe(np.linspace(-180, 180, 37)), but=BUT),
    *every_reader("falling", "bad.nc", *SAME, "360 and 0", make=globe(np.linspace(360, 0, 25)), but=BUT),
    *every_reader("from-greenwich-on", "bad.nc", *SAME, make=globe(TURNED),
                  but=BUT),
    *every_reader("half-cells", "bad.nc", *SAME, make=globe(np.linspace(2.5, 362.5, 73)), but=BUT),
    *every_reader("two-dimensional", "bad.nc", *SAME, make=globe(TWO_D), but=BUT),
    *every_reader("zarr-2", "bad.zarr", *SAME, make=globe(np.linspace(0, 360, 25), name="bad.zarr", zarr_format=2),
                  but=BUT),
    *every_reader("zarr-3", "bad.zarr", *SAME, make=globe(np.linspace(0, 360, 25), name="bad.zarr", zarr_format=3),
                  but=BUT),
    case("fill-another-globe", f"{FILL} bad.nc", "is not part of the model's grid", make=globe(np.arange(0, 360, 15))),
    case("fill-the-column-twice", f"{FILL} bad.nc", "sst", make=globe(np.linspace(0, 360, 25))),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_written(folder, case):
    refused(case)
