"""The partial folder of a product: kills at any moment, and what the next run does about them."""

import itertools
import os

import numpy as np
import pytest
import xarray as xr
from film_product import begin, film, part, regions, write_missing, write_product

from geogan.io import open_field
from geogan.operators.errors import InputError
from geogan.product import Product, has_digest, is_finished, open_partial
from geogan.product.output import mark_of
from geogan.product.partial import remove_folder


def test_another_process_writes_and_the_holder_of_the_lock_records(tmp_path):
    field, out = film(), tmp_path / "out.zarr"
    with begin(out, field) as product:
        store = open_partial(out, "a")
        assert store == product.store and open_partial(out, "b") is None
        for number, region in enumerate(regions()):
            store.write(region, part(field, region))
            assert product.missing(regions()) == regions()[number:]
            product.record(region, ["sst"], notes=["cloudy", f"region {number // 3}"])
    with begin(out, field) as product:
        assert product.missing(regions()) == [] and product.notes == ["cloudy", "region 0", "region 1"]
        product.finish()
    xr.testing.assert_equal(open_field(out).compute(), field)


def test_a_folder_of_the_user_in_place_of_the_partial_folder_stays(tmp_path):
    foreign = tmp_path / ".other.zarr.partial"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is in the way and is not a partial product of geogan; move it"):
        begin(tmp_path / "other.zarr", film())
    assert (foreign / "thesis.txt").read_text() == "years of work"


def test_a_stop_between_the_renames_is_undone(tmp_path):
    field = film()
    out = write_product(tmp_path / "out.zarr", field)
    begin(out, field + 1, overwrite=True).close()
    out.rename(tmp_path / ".out.zarr.partial" / "old")
    with pytest.raises(InputError, match="exists; give another name"):
        begin(out, field + 1)
    xr.testing.assert_equal(open_field(out).compute(), field)


def test_after_a_kill_between_exchange_and_removal_the_previous_product_does_not_come_back(tmp_path):
    field = film()
    out = write_product(tmp_path / "out.zarr", field)
    with begin(out, field + 1, overwrite=True, digest="b") as product:
        write_missing(product, field + 1)
        product.publish()
    assert (tmp_path / ".out.zarr.partial" / "store.zarr").exists()
    with begin(out, field + 1, overwrite=True, digest="b") as product:
        assert product.missing(regions()) == regions()
    xr.testing.assert_equal(open_field(out).compute(), field + 1)


class Killed(BaseException):
    """Marks the end of a killed process; no code catches it."""


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_kill_at_any_moment_of_the_removal_is_repaired(tmp_path, monkeypatch, suffix):
    """The next run removes the remains, never resumes half a folder, and rarely computes everything again."""
    out, partial = tmp_path / f"out{suffix}", tmp_path / f".out{suffix}.partial"
    maps = xr.Dataset({"sst": (("y", "x"), np.ones((4, 6)))})

    def published(dataset, digest):
        with Product.begin(out, dataset, chunks={}, digest=digest, overwrite=True) as product:
            product.write({}, {"sst": dataset.sst.values})
            product.publish()

    def killed_after(calls):
        """Remove the partial folder up to a number of changes on disk; return whether the removal was cut short."""
        left = iter(range(calls, 0, -1))

        def dying(action):
            def act(*args, **named):
                if next(left) == 1:
                    raise Killed
                return action(*args, **named)

            return act

        with monkeypatch.context() as patch:
            for name in ("unlink", "rmdir", "replace"):
                patch.setattr(os, name, dying(getattr(os, name)))
            try:
                remove_folder(partial)
            except Killed:
                return True
        return False

    repeated = 0
    for calls in itertools.count(1):
        published(maps, "a")
        remove_folder(partial)
        published(maps + 1, "b")
        if not killed_after(calls):
            break
        assert xr.open_dataset(out).sst.sum() == 48
        assert not is_finished(out, "a")
        if not is_finished(out, "b", overwrite=True):
            repeated += 1
            published(maps + 1, "b")
            remove_folder(partial)
        assert not partial.exists() and xr.open_dataset(out).sst.sum() == 48
    assert calls > 4 and repeated < 4


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_product_that_continues_another_begins_before_the_folder_of_that_one_is_removed(tmp_path, suffix):
    out, field = tmp_path / f"out{suffix}", film()
    with begin(out, field, digest="a") as product:
        write_missing(product, field)
        product.publish()
    assert (tmp_path / f".out{suffix}.partial" / "product.json").exists()
    with begin(out, field + 1, digest="b", overwrite=True, after=mark_of(out)) as product:
        assert len(product.missing(regions())) == len(regions())
        write_missing(product, field + 1)
        product.finish()
    assert not (tmp_path / f".out{suffix}.partial").exists()
    assert has_digest(out, "b")


def test_a_partial_product_that_another_process_took_is_not_published(tmp_path):
    """Where the file system has no locks, two can begin."""
    field, out = film(), tmp_path / "out.zarr"
    product = begin(out, field)
    for region in regions():
        product.write(region, part(field, region))
    product.close()
    other = begin(out, field, digest="b", overwrite=True)
    with pytest.raises(InputError, match="partial was taken by another process meanwhile; wait for it, and run again"):
        product.finish()
    assert not out.exists() and other.missing(regions()) == regions()
    other.close()
