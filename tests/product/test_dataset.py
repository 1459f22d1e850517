"""A whole dataset is written one block at a time."""

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr
from film_product import film

from geogan.io import open_field
from geogan.product import Product, write_dataset


def test_write_dataset_holds_one_block_at_a_time(tmp_path):
    alive, most = set(), []

    def block(block_info=None):
        alive.add(block_info[None]["chunk-location"])
        most.append(len(alive))
        return np.full(block_info[None]["chunk-shape"], 1.0)

    values = dask.array.map_blocks(block, chunks=((3, 3, 1), (4, 4)), dtype=float)
    dataset = xr.Dataset({"sst": (("y", "x"), values), "mask": (("y", "x"), np.ones((7, 8), "i1")), "crs": 4326})
    seen = []
    write = Product.write

    def count(self, region, arrays):
        seen.append(len(alive))
        write(self, region, arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Product, "write", count)
        out = write_dataset(dataset, tmp_path / "out.nc")
    assert seen == [1, 2, 3, 4, 5, 6]
    with xr.open_dataset(out) as back:
        assert back.sst.sum() == 56
        assert back.crs == 4326
        assert back.mask.dtype == "int8"


def test_write_dataset_evens_out_dask_chunks(tmp_path):
    field = film()
    uneven = field.chunk({"time": (1, 3, 1), "lat": (2, 4)}).to_dataset()
    xr.testing.assert_equal(open_field(write_dataset(uneven, tmp_path / "out.zarr")).compute(), field)


def test_an_interrupted_dataset_without_a_digest_is_written_anew(tmp_path):
    field, out = film(), tmp_path / "out.zarr"

    def interrupted(block, block_info=None):
        if block_info[0]["chunk-location"] != (0, 0, 0):
            raise KeyboardInterrupt
        return block

    lazy = field.chunk({"time": 2})
    values = lazy.data.map_blocks(interrupted, dtype=float, meta=np.zeros((0, 0, 0)))
    with dask.config.set(scheduler="synchronous"), pytest.raises(KeyboardInterrupt):
        write_dataset(lazy.copy(data=values).to_dataset(), out)
    assert (tmp_path / ".out.zarr.partial" / "done.jsonl").exists()
    xr.testing.assert_equal(open_field(write_dataset(field.to_dataset(), out)).compute(), field)
