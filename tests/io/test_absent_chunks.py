"""An absent chunk is a gap if the fill value means missing, and otherwise refused."""

import os
import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

from geogan.io import open_field
from geogan.io.absent_chunks import check_chunks
from geogan.operators.errors import InputError


def packed_store(tmp_path, dataset):
    packing = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -999, "chunks": (2, 5, 7)}
    dataset.to_zarr(tmp_path / "a.zarr", consolidated=False, encoding={"sst": packing})
    return tmp_path / "a.zarr"


def test_a_lost_chunk_that_would_be_read_as_measured_is_refused(tmp_path, film):
    path = packed_store(tmp_path, film())
    shutil.rmtree(path / "sst" / "c" / "1")
    with pytest.raises(
        InputError,
        match=r"'sst' of .*a\.zarr lacks 1 of its 3 chunk files, which would be read as measured values of 0",
    ):
        open_field(path)
    shutil.rmtree(path / "sst" / "c")
    with pytest.raises(InputError, match="none of its 3 chunks on disk; copy the store again"):
        open_field(path)


def test_absent_chunks_of_a_number_that_is_measured_elsewhere_are_accepted(tmp_path, film):
    dataset = film()
    dataset["sst"] = dataset.sst.where(dataset.sst > 15, 0.0)  # as in rain or ice
    dataset["sst"][2:4] = 0.0
    path = packed_store(tmp_path, dataset)
    assert float(open_field(path)[2:4].max()) == 0.0


def test_the_folder_of_a_variable_is_listed_once(tmp_path, monkeypatch):
    """A request for each of many files takes minutes on a remote disk."""
    array = zarr.create_group(tmp_path / "a.zarr", zarr_format=2).create_array(
        "ice", shape=(300, 1, 1), chunks=(1, 1, 1), dtype="i2", fill_value=0
    )
    array[:200] = 5
    listed, scan = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (listed.append(folder), scan(folder))[1])
    with pytest.raises(InputError, match="lacks 100 of its 300 chunk files"):
        check_chunks(str(tmp_path / "a.zarr"), "ice", xr.DataArray(0))
    assert len(listed) == 1


@pytest.mark.parametrize("version", [2, 3])
def test_an_absent_chunk_that_means_missing_is_a_gap(tmp_path, version, film, to_store):
    dataset = film()
    dataset["sst"][2:4] = np.nan
    path = to_store(dataset, tmp_path / "a.zarr", zarr_format=version, encoding={"sst": {"chunks": (2, 5, 7)}})
    assert open_field(path)[2:4].isnull().all()


def test_an_absent_chunk_of_a_number_that_is_not_valid_is_a_gap(tmp_path, film):
    dataset = film()
    dataset["sst"].attrs["valid_min"] = np.int16(1)
    path = packed_store(tmp_path, dataset)
    shutil.rmtree(path / "sst" / "c" / "1")
    field = open_field(path)
    assert field[2:4].isnull().all() and field[:2].notnull().any()
