"""Grids, times and kinds of files that cannot be read as one field: one sentence, exit code 2, nothing written."""

import numpy as np
import pytest
import xarray as xr
from bad_input import CORRUPT, EVALUATE, FILL, INFO, PLOT, SMALL, case, changed, every_reader, refused, sea


def moved(lat, lon=0.0):
    """Return a function that gives the sea 2-D coordinates, shifted."""

    def change(dataset):
        y, x = np.meshgrid(dataset.lat.values + lat, dataset.lon.values + lon, indexing="ij")
        dataset = dataset.rename(lat="nj", lon="ni").drop_vars(["nj", "ni"])
        at = {"lat": (("nj", "ni"), y, {"units": "degrees_north"}), "lon": (("nj", "ni"), x, {"units": "degrees_east"})}
        return dataset.assign_coords(at)

    return change


def two(change, first=lambda dataset: dataset):
    """Return a function that writes half of the dates to ``bad_0.nc`` and the other half, changed, to ``bad_1.nc``."""

    def make():
        first(sea().isel(time=slice(0, 12))).to_netcdf("bad_0.nc")
        change(sea().isel(time=slice(12, 24))).to_netcdf("bad_1.nc")

    return make


def with_times(values, **attrs):
    def change(dataset):
        values_of = values(dataset.sizes["time"]) if callable(values) else values
        return dataset.assign_coords(time=("time", values_of, attrs))

    return change


def lost_latitude(dataset):
    lat = dataset.lat.values.copy()
    lat[3] = np.nan
    return dataset.assign_coords(lat=("lat", lat, dataset.lat.attrs))


def nowhere(dataset):
    bent = moved(0)(dataset)
    return bent.assign_coords(lat=bent.lat * np.nan)


def moving(dataset):
    bent = moved(0)(dataset)
    lat = (("time", "nj", "ni"), bent.lat.values + np.arange(24.0)[:, None, None], {"units": "degrees_north"})
    return bent.drop_vars("lat").assign_coords(XLAT=lat)


def noleap(dataset):
    return dataset.convert_calendar("noleap")


def without_time():
    for number in range(2):
        sea().isel(time=number, drop=True).to_netcdf(f"bad_{'ab'[number]}.nc")


def two_processings():
    for number in range(2):
        sea().isel(time=number, drop=True).to_netcdf(f"bad_2001010{number + 1}_v2020030{number * number * 6 + 1}.nc")


def numbers(start, **attrs):
    return changed(with_times(np.arange(24) + start, **attrs))


def groups():
    for name in ("day", "night"):
        sea().to_netcdf("bad.nc", group=name, mode="w" if name == "day" else "a")


def renamed(dataset):
    return dataset.rename(lat="up", lon="along").drop_vars(["up", "along"])


def few(dataset):
    return dataset.assign(few=(("lat", "band"), np.ones((24, 2))))


APART = two(moved(-70), moved(0))
CASES = [
    *every_reader("granules", "bad_*.nc", "bad_1.nc is on another grid than", "latitude", make=APART),
    case("granules-longitude", f"{INFO} bad_*.nc", "longitude", make=two(moved(0, 120), moved(0))),
    case("projected-files", f"{INFO} bad_*.nc", "on another grid", make=two(lambda d: d.assign_coords(lat=d.lat + 9))),
    case("other-size", f"{INFO} bad_*.nc", "24 x 24 cells", "bad_0.nc", make=two(lambda d: d.isel(lat=slice(0, 20)))),
    case("model-elsewhere", f"{FILL} bad.nc", "latitude of sst", "not part of", make=changed(moved(-70))),
    case("model-elsewhere-x", f"{FILL} bad.nc", "longitude of sst", "model's grid", make=changed(moved(0, 120))),
    case("truth-elsewhere", f"{EVALUATE} sst.nc --truth bad.nc", "other coordinates", make=changed(moved(-70))),
    *every_reader("lost-latitude", "bad.nc", "'lat'", "not a finite number at 1 of 24", make=changed(lost_latitude)),
    case("nowhere", f"{INFO} bad.nc", "coordinate 'lat'", "576 of 576", make=changed(nowhere)),
    *every_reader("moving-grid", "bad.nc", "'XLAT' changes along 'time'", make=changed(moving), but=("plot",)),
    *every_reader("calendars", "bad_*.nc", "noleap", "standard", "convert_calendar", make=two(noleap)),
    case("dates-and-numbers", f"{INFO} bad_*.nc", "numbers", make=two(with_times(np.arange(12.0)))),
    case("model-calendar", f"{FILL} bad.nc", "calendar standard", "noleap", make=changed(noleap)),
    *every_reader("no-such-day", "bad.nc", "20010230 is not such a date", make=numbers(20010230, units="YYYYMMDD")),
    case("no-such-month", f"{INFO} bad.nc", "is not such a date", make=numbers(200101, units="yyyymm")),
    case("cdo-without-dates", f"{INFO} bad.nc", "0 is not such a date", make=numbers(0, units="day as %Y%m%d.%f")),
    case(
        "dates-rounded", f"{INFO} bad.nc", "float32", "double precision",
        make=changed(with_times(np.arange(24, dtype="f4") + 20010101)),
    ),
    case("no-time", f"{INFO} bad_*.nc", "bad_a.nc has no time", "time_coverage_start", make=without_time),
    case("no-time-train", f"train {SMALL} --data bad_*.nc --out new", "expand_dims", make=without_time),
    *every_reader("groups", "bad.nc", "'day' (sst), 'night' (sst)", "choose one with --group", make=groups),
    case("no-group", f"{INFO} bad.nc --group noon", "no group 'noon'", "'day', 'night'", make=groups),
    case("no-groups", f"{FILL} sst.nc --group day", "sst.nc has no group 'day'"),
    case("names-of-dimensions", f"{INFO} bad.nc", "on a grid of y and x", "--dims", make=changed(renamed)),
    case("no-dimension", f"{INFO} sst.nc --dims y=YDim", "no dimension 'YDim'", "time, lat, lon"),
    case("no-role", f"{INFO} sst.nc --dims z=lat", "z=lat", "time, band, y, x"),
    case("dims-without-roles", f"{CORRUPT} sst.nc --dims lat", "time=t,y=YDim,x=XDim"),
    case("dims-twice", f"{PLOT} sst.nc --dims y=lat,y=lon", "twice"),
    case("dims-taken", f"{INFO} sst.nc --dims y=lat,time=lon", "renamed to", "'time'"),
    case("condition", f"{INFO} sst.nc --where sst>>4", "'sst>>4' is not understood"),
    case("condition-calls", f"{FILL} sst.nc --where __import__('os')", "is not understood"),
    case("condition-on-nothing", f"{INFO} sst.nc --where quality>3", "no variable 'quality'"),
    case("condition-of-another-grid", f"{INFO} bad.nc --where few>0 --variable sst", "'few'", make=changed(few)),
    case("condition-leaves-nothing", f"{INFO} sst.nc --where sea_mask>5", "only gaps", "condition"),
    case("run-with-group", f"{INFO} model --group day", "model is a run", "leave group out"),
    case("resumed-with-condition", f"train {SMALL} --resume model --where sea_mask>0", "leave"),
    case("two-dates", f"{INFO} bad_*.nc", "has no time", "their names", make=two_processings),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_written(folder, case):
    refused(case)


def test_the_inputs_are_fields_but_for_their_fault(folder):
    """The same files without the fault are read."""
    moved(0)(sea()).to_netcdf("good.nc")
    with xr.open_dataset("good.nc") as good:
        assert good.sst.dims == ("time", "nj", "ni")
