"""Unreadable parts of a file are named in an error, or become marked gaps."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from geogan.fields.marks import is_unreadable, unreadable_mark
from geogan.io import open_field, open_source
from geogan.io.damage import GuardedVariable
from geogan.operators.errors import InputError

FIELD = xr.DataArray(
    np.random.default_rng(0).normal(15, 2, (6, 5, 8)).astype("f4"),
    dims=("time", "lat", "lon"),
    coords={"time": np.arange("2001-01-01", "2001-01-07", dtype="M8[D]").astype("M8[ns]")},
    name="sst",
)


class BrokenVariable:
    """A variable that raises an error for some of its cells."""

    def __init__(self, values, bad, chunks, error):
        self.values_, self.bad, self.chunks, self.error = values, bad, chunks, error
        self.dims = ("time", "lat", "lon")

    def __getitem__(self, key):
        numbers = np.zeros(self.values_.shape, bool)
        numbers[self.bad] = True
        key = key if isinstance(key, tuple) else (key,)
        whole = key + (slice(None),) * (3 - len(key))
        index = np.ix_(*(np.atleast_1d(np.arange(n)[part]) for n, part in zip(self.values_.shape, whole)))
        if numbers[index].any():
            raise self.error
        part = self.values_[index]
        for axis in (2, 1, 0):
            if isinstance(whole[axis], int):
                part = part.take(0, axis)
        return xr.Variable(("a", "b", "c")[: part.ndim], part)


def guarded(bad, *, skip, chunks=(2, 5, 4), error=None, path="a.zarr"):
    field = FIELD.copy()
    field.encoding["preferred_chunks"] = dict(zip(field.dims, chunks))
    variable = GuardedVariable(field, path, skip=skip)
    variable.variable = BrokenVariable(FIELD.values, bad, chunks, error or RuntimeError("error during decompression"))
    return variable


parts = st.one_of(
    st.integers(0, 4),
    st.builds(slice, st.integers(0, 2), st.integers(3, 5)),
    st.just(slice(None)),
    st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True).map(sorted),
)


@given(st.tuples(parts, parts, parts))
def test_skipping_loses_only_the_bad_chunk(key):
    bad = (slice(2, 4), slice(None), slice(0, 4))
    expected = FIELD.values.copy()
    expected[bad] = unreadable_mark(expected.dtype)
    index = np.ix_(*(np.atleast_1d(np.arange(n)[part]) for n, part in zip(expected.shape, key)))
    expected = expected[index]
    for axis in (2, 1, 0):
        if isinstance(key[axis], int):
            expected = expected.take(0, axis)
    found = guarded(bad, skip=True)[key]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(is_unreadable(found), is_unreadable(expected))


def test_the_error_names_the_chunk():
    with pytest.raises(InputError) as caught:
        guarded((slice(2, 4), slice(None), slice(4, 8)), skip=False)[:]
    assert str(caught.value) == (
        "variable 'sst' of a.zarr cannot be read, 2001-01-03 to 2001-01-04, lon 4 to 7: it is damaged or cut short "
        "there (error during decompression); copy or write it again, or let geogan fill --skip-bad take it for a gap"
    )


def test_a_network_failure_is_never_skipped():
    for error in (TimeoutError("timed out"), ConnectionError("reset")):
        with pytest.raises(type(error)):
            guarded((slice(2, 4),), skip=True, error=error, path="https://a.b/c.zarr")[:]
    assert is_unreadable(guarded((slice(2, 4),), skip=True, error=OSError("input/output error"))[:]).any()


def test_whole_numbers_cannot_be_skipped(tmp_path):
    xr.Dataset({"n": (("y", "x"), np.ones((4, 3), "i1"))}).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match="is of type int8 without a fill value, .*; leave --skip-bad out"):
        open_source(tmp_path / "a.nc", skip_bad=True)
    assert open_field(tmp_path / "a.nc").sum() == 12


@pytest.mark.parametrize("kind", ["zarr", "nc"])
def test_a_damaged_chunk_of_a_file(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    field = FIELD.astype("f8").to_dataset()
    if kind == "zarr":
        field.to_zarr(path, encoding={"sst": {"chunks": (2, 5, 8)}}, consolidated=False)
        (path / "sst" / "c" / "1" / "0" / "0").write_bytes(b"no chunk at all")
    else:
        packed = {"chunksizes": (2, 5, 8), "zlib": True, "fletcher32": True}
        field.to_netcdf(path, encoding={"sst": packed})
        content = bytearray(path.read_bytes())
        # Damage the second of three chunks, which begin with the header of a zlib stream.
        heads = [i for i in range(len(content) - 600) if content[i] == 0x78 and content[i + 1] in (0x5E, 0x9C, 0x01)]
        content[heads[1] + 40 : heads[1] + 60] = bytes(20)
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"'sst' of .*a\.\w+ cannot be read, 2001-01-0\d to 2001-01-0\d: it is"):
        open_field(path).compute()
    found = open_source(path, skip_bad=True).field.array.compute()
    lost = is_unreadable(found.values)
    assert lost.sum() == 80 and found.isnull().sum() == 80
    np.testing.assert_array_equal(found.values[~lost], FIELD.values.astype("f8")[~lost])
