"""A survey counts observations, reads every chunk once and refuses fields that cannot be filled."""

import dask.array
import numpy as np
import pytest
import xarray as xr

from geogan.archive.survey import check_field
from geogan.fields.field import Field
from geogan.io import open_field
from geogan.operators.errors import InputError


def refused(values, words, **coords):
    field = xr.DataArray(values, dims=("time", "y", "x"), coords=coords, name="sst")
    with pytest.raises(InputError, match=words):
        check_field(Field.of(field))


def test_fields_with_nothing_to_learn_are_refused(film):
    values = film().sst.values
    refused(np.full((3, 4, 2), np.nan), "'sst' holds no value at all")
    refused(np.where(values == values[0, 2, 2], np.inf, values), "holds infinite values; set them to NaN")
    refused(np.where(values == values[0, 2, 2], -np.inf, values), "holds infinite values")
    refused(np.where(np.isnan(values), np.nan, 4.5), "'sst' is 4.5 wherever it is observed; a constant field")
    refused(np.zeros((0, 4, 2)), "has no entry along 'time'")
    refused(np.full((3, 4, 2), "warm"), "where numbers are expected")
    refused(values, r"do not increase .*field\.sortby\('time'\)", time=[0, 1, 2, 2, 3, 4])


def test_a_survey_counts_observations(film):
    field = film().sst.chunk({"time": 2, "lon": 4})
    survey = check_field(Field.of(field))
    values = field.values
    assert survey.cells == 33
    assert survey.observed == np.isfinite(values).sum()
    assert (survey.minimum, survey.maximum) == (np.nanmin(values), np.nanmax(values))
    np.testing.assert_array_equal(survey.domain, np.isfinite(values).any(0))
    np.testing.assert_allclose(survey.seen_share, np.isfinite(values).sum((1, 2)) / 33)
    assert survey.seen_share.shape == (6,)
    assert (str(survey.first)[:10], str(survey.last)[:10]) == ("2001-06-28", "2001-07-03")
    assert not survey.gap_free
    whole = field.isel(time=[0, 2])
    assert check_field(Field.of(whole)).gap_free
    single = field.isel(time=0)
    assert check_field(Field.of(single)).seen_share.tolist() == [1.0]
    counts = (field.fillna(0) * 100).astype("int32")
    assert check_field(Field.of(counts)).gap_free


def test_a_survey_reads_every_chunk_once():
    reads = []

    def block(block_info=None):
        reads.append(block_info[None]["chunk-location"])
        return np.random.default_rng(0).random(block_info[None]["chunk-shape"])

    values = dask.array.map_blocks(block, chunks=((2, 2), (3, 3), (4,)), dtype=float)
    field = xr.DataArray(values, dims=("time", "y", "x"))
    check_field(Field.of(field))
    assert sorted(reads) == sorted(set(reads))
    assert len(reads) == 4


def test_a_damaged_chunk_is_named_when_it_is_read(tmp_path, film, to_store):
    path = to_store(film(), tmp_path / "a.zarr", encoding={"sst": {"chunks": (2, 5, 7)}})
    chunk = path / "sst" / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    field = open_field(path)
    with pytest.raises(InputError, match=r"'sst' of .*a\.zarr cannot be read, .*: it is damaged or cut short there"):
        check_field(Field.of(field))
