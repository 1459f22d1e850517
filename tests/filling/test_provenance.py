"""A product says what it is, how it was made and where it holds; so do datasets from Python."""

from dataclasses import replace

import pytest

from geogan.fields.field import Field
from geogan.filling import FillOptions, fill_field
from geogan.filling.provenance import describe_product


@pytest.fixture(scope="module")
def filled(bare, gappy):
    """Return the product of three dates whose coordinates have no attributes."""
    plain = gappy[:3].copy()
    for name in ("time", "lat", "lon"):
        plain[name].attrs = {}
    return fill_field(bare, Field.of(plain), FillOptions())


def test_extents_method_and_error_are_attributes(filled, bare, gappy):
    attrs = filled.attrs
    assert attrs["geospatial_lat_min"] == pytest.approx(float(gappy.lat.min()))
    assert attrs["geospatial_lon_max"] == pytest.approx(float(gappy.lon.max()))
    assert attrs["time_coverage_start"] == f"{str(gappy.time.values[0])[:19]}Z"
    assert attrs["time_coverage_end"] == f"{str(gappy.time.values[2])[:19]}Z"
    assert attrs["geogan_operator"].startswith("cloud_mask") and "xarray" in attrs["geogan_software"]
    assert attrs["Conventions"] == "CF-1.8, ACDD-1.3" and "gaps of sst filled with a model" in attrs["history"]
    judged = replace(bare, scores={"withheld": 0.25, "cells": 1200, "units": "degree_Celsius"})
    again = describe_product(filled, judged, Field.of(gappy[:3])).attrs
    assert "on 1,200 withheld observations is 0.25 degree_Celsius" in again["summary"]
    assert (again["geogan_withheld_rmse"], again["geogan_withheld_cells"]) == (0.25, 1200)


def test_what_the_coordinates_lacked_is_inferred(filled):
    assert {name: filled[name].attrs["standard_name"] for name in ("time", "lat", "lon")} == {
        "time": "time", "lat": "latitude", "lon": "longitude"
    }  # fmt: skip
    assert [filled[name].attrs["axis"] for name in ("time", "lat", "lon")] == ["T", "Y", "X"]
    assert filled.lat.attrs["units"] == "degrees_north"
    assert set(filled.sst.attrs["ancillary_variables"].split()) == {"sst_source", "sst_std"} & set(filled.data_vars)
    assert list(filled.sst_source.attrs["flag_values"]) == list(range(5))


def test_what_holds_for_the_source_alone_is_left_out_and_secrets_are_hidden(filled, bare, gappy):
    source = {
        "title": "a sea", "history": "born", "uuid": "1", "time_coverage_start": "1999", "geospatial_lat_min": -90.0,
        "summary": "Daily maps.", "license": "free",
    }  # fmt: skip
    command = "geogan fill 'https://me:word@server/a.nc?key=1' --out b.nc"
    attrs = describe_product(filled, bare, Field.of(gappy[:3]), source, command=command).attrs
    assert attrs["title"] == "a sea" and attrs["license"] == "free" and attrs["summary"].endswith("Daily maps.")
    assert "uuid" not in attrs and attrs["time_coverage_start"] != "1999" and attrs["geospatial_lat_min"] > 0
    first, last = attrs["history"].split("\n")
    assert "geogan fill 'https://server/a.nc' --out b.nc (geogan " in first and last == "born"
