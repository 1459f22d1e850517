"""Packed values are held as they are stored, and are what was decoded, to the last bit."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geogan.fields.marks import rule_mark, unreadable_mark
from geogan.filling.packed import Packing

DIMS = ("time", "band", "y", "x")


def decoded(packed, **attrs):
    """A field as xarray decodes it, with its encoding."""
    stored = xr.Dataset({"sst": xr.Variable(DIMS, packed, attrs)})
    return xr.decode_cf(stored, decode_times=False).sst.load()


@given(
    arrays(st.sampled_from(["i1", "u1", "i2", "u2"]), (3, 1, 2, 4)),
    st.sampled_from([0.01, 0.1, 1.0, 3e-5, np.float32(0.01), np.float64(0.02)]),
    st.sampled_from([None, 0.0, 273.15, -5, np.float32(20.0)]),
)
def test_what_was_decoded_comes_back_bit_for_bit(packed, scale, offset):
    attrs = {"scale_factor": scale, "_FillValue": packed.dtype.type(7)}
    field = decoded(packed, **attrs | ({} if offset is None else {"add_offset": offset}))
    packing = Packing.of(field)
    held = packing.pack(field.values)
    assert held is not None and held.dtype == packed.dtype
    np.testing.assert_array_equal(held, packed)
    again = packing.unpack(held, DIMS).values
    assert again.dtype == field.dtype and again.tobytes() == field.values.tobytes()


def test_it_is_decoded_where_it_is_looked_at():
    field = decoded(np.arange(24, dtype="i2").reshape(2, 1, 3, 4), scale_factor=0.1, _FillValue=np.int16(5))
    packing = Packing.of(field)
    lazy = packing.unpack(packing.pack(field.values), DIMS)
    assert not isinstance(lazy._data, np.ndarray)
    np.testing.assert_array_equal(lazy[1:, :, 1:].values, field.values[1:, :, 1:])


@pytest.mark.parametrize("change", ["warmer", "finer", "unreadable", "infinite", "beyond"])
def test_what_whole_numbers_cannot_say_is_not_packed(change):
    field = decoded(np.arange(24, dtype="i2").reshape(2, 1, 3, 4), scale_factor=0.1, _FillValue=np.int16(5))
    packing = Packing.of(field)
    values = field.values.copy()
    values[1, 0, 2, 2] = {
        "warmer": values[1, 0, 2, 2] + 0.05,
        "finer": np.nextafter(values[1, 0, 2, 2], 9.0),
        "unreadable": unreadable_mark(values.dtype),
        "infinite": np.inf,
        "beyond": 1e6,
    }[change]
    assert packing.pack(values) is None


def test_only_what_is_packed_has_a_packing():
    packed = decoded(np.zeros((1, 1, 2, 2), "i2"), scale_factor=0.1, _FillValue=np.int16(5))
    assert Packing.of(packed) is not None
    assert Packing.of(packed.drop_encoding()) is None
    assert Packing.of(decoded(np.zeros((1, 1, 2, 2), "f4"))) is None
    # Without a fill value there is nothing for a gap.
    assert Packing.of(decoded(np.zeros((1, 1, 2, 2), "i2"), scale_factor=0.1)) is None


def test_gaps_by_a_rule_are_packed_as_gaps():
    """The reason that a NaN records is of no use to a fill; that a cell was unreadable is."""
    field = decoded(np.arange(24, dtype="i2").reshape(2, 1, 3, 4), scale_factor=0.1, _FillValue=np.int16(5))
    packing, marked = Packing.of(field), field.values.copy()
    marked[0, 0, 0, 0] = rule_mark(marked.dtype, 2)
    held = packing.pack(marked)
    assert held is not None and held[0, 0, 0, 0] == 5 and (held == 5).sum() == 2
    marked[0, 0, 0, 1] = unreadable_mark(marked.dtype)
    assert packing.pack(marked) is None
