"""A chunk that is not there is a gap where that is what its absence means, and else refused."""

import shutil
import time

import numpy as np
import pytest
import xarray as xr
import zarr

from geogan.io import missing_chunks, open_field
from geogan.io.absent_chunks import check_chunks
from geogan.operators.errors import InputError


def packed_store(tmp_path, dataset):
    packing = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -999, "chunks": (2, 5, 7)}
    dataset.to_zarr(tmp_path / "a.zarr", consolidated=False, encoding={"sst": packing})
    return tmp_path / "a.zarr"


def test_a_lost_chunk_that_would_read_as_a_measurement_is_refused(tmp_path, film):
    path = packed_store(tmp_path, film())
    assert missing_chunks(path, "sst") == (0, 3)
    shutil.rmtree(path / "sst" / "c" / "1")
    assert missing_chunks(path, "sst") == (1, 3)
    with pytest.raises(InputError, match=r"'sst' of .*a\.zarr lacks 1 of its 3 chunk files, which would read as 0"):
        open_field(path)
    shutil.rmtree(path / "sst" / "c")
    with pytest.raises(InputError, match="none of its 3 chunks on disk; copy the store again"):
        open_field(path)


def test_an_absent_chunk_of_a_field_full_of_noughts_is_believed(tmp_path, film):
    dataset = film()
    dataset["sst"] = dataset.sst.where(dataset.sst > 15, 0.0)  # as rain, or ice
    dataset["sst"][2:4] = 0.0
    path = packed_store(tmp_path, dataset)
    assert missing_chunks(path, "sst") == (1, 3)
    assert float(open_field(path)[2:4].max()) == 0.0


def test_among_many_chunks_it_takes_no_longer(tmp_path):
    """Not the square of their number."""
    array = zarr.create_group(tmp_path / "a.zarr", zarr_format=2).create_array(
        "ice", shape=(8000, 1, 1), chunks=(1, 1, 1), dtype="i2", fill_value=0
    )
    array[0] = 5
    content = (tmp_path / "a.zarr" / "ice" / "0.0.0").read_bytes()
    for date in range(1, 4000):
        (tmp_path / "a.zarr" / "ice" / f"{date}.0.0").write_bytes(content)
    began = time.perf_counter()
    with pytest.raises(InputError, match="lacks 4000 of its 8000 chunk files"):
        check_chunks(str(tmp_path / "a.zarr"), "ice", xr.DataArray(0))
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("version", [2, 3])
def test_an_absent_chunk_that_means_missing_is_a_gap(tmp_path, version, film, to_store):
    dataset = film()
    dataset["sst"][2:4] = np.nan
    path = to_store(dataset, tmp_path / "a.zarr", zarr_format=version, encoding={"sst": {"chunks": (2, 5, 7)}})
    assert missing_chunks(path, "sst") == (1, 3)
    assert open_field(path)[2:4].isnull().all()


def test_an_absent_chunk_of_a_number_that_is_not_valid_is_a_gap(tmp_path, film):
    dataset = film()
    dataset["sst"].attrs["valid_min"] = np.int16(1)
    path = packed_store(tmp_path, dataset)
    shutil.rmtree(path / "sst" / "c" / "1")
    field = open_field(path)
    assert field[2:4].isnull().all() and field[:2].notnull().any()
