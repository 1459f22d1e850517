"""Pieces show what was seen in the domain, and never what is withheld."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr

from geogan.archive import archive as module
from geogan.archive.archive import Archive
from geogan.archive.standardiser import Standardiser
from geogan.fields.field import Field


def assert_equal(film, other):
    mine, theirs = film.parts(), other.parts()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def archive_of(field, domain, *, seed=5):
    archive = Archive.of(Field.of(field, domain=domain), Standardiser.fit(Field.of(field, domain=domain)))
    cells = domain.sum() * archive.bands
    share = np.array([archive.seen(date).sum() / cells for date in range(len(archive.days))])
    return archive.withholding(share, seed=seed)


@pytest.fixture
def archive(gappy, domain):
    return archive_of(gappy, domain)


def test_a_piece_is_what_was_measured(archive, gappy, domain):
    piece = archive.read(slice(None))
    raw = gappy.values
    seen = np.isfinite(raw) & domain
    np.testing.assert_array_equal((piece.mask + piece.withheld)[:, 0] == 1, seen)
    assert (piece.mask * piece.withheld == 0).all() and piece.withheld.sum() > 50
    assert (piece.values[:, 0][~seen] == 0).all()
    back = archive.standardiser.inverse(piece.values.numpy(), archive.phase)[:, 0]
    np.testing.assert_allclose(back[seen], raw[seen], atol=1e-4)
    types = {name: part.dtype for name, part in piece.parts().items()}
    assert types.pop("days") == torch.float64 and set(types.values()) == {torch.float32}
    assert piece.days.tolist() == sorted(piece.days)


def test_what_is_withheld_is_never_observed(archive):
    dates = archive.withheld.dates
    assert len(dates) >= 3
    for date in dates:
        hidden = archive.withheld.hidden(date, archive.seen)
        piece = archive.read(slice(date, date + 1))
        assert not piece.mask[0][hidden].any()
        np.testing.assert_array_equal(piece.withheld[0] == 1, hidden)


def test_a_part_is_the_part_of_the_whole(archive):
    whole = archive.read(slice(None))
    t, y, x = slice(7, 19), slice(3, 17), slice(5, 23)
    part = archive.read(t, y, x)
    for name in ("values", "mask", "withheld"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[t, :, y, x])
    np.testing.assert_array_equal(part.domain, whole.domain[y, x])
    np.testing.assert_array_equal(part.days, whole.days[t])


def test_lazy_is_the_same_and_stays_lazy(gappy, domain, archive, monkeypatch):
    lazy = archive_of(gappy.chunk(time=4, lat=7), domain)
    assert_equal(lazy.read(slice(2, 20), slice(1, 18)), archive.read(slice(2, 20), slice(1, 18)))
    assert lazy.field.chunks is not None and lazy.held().field.chunks is None
    assert archive.held() is archive
    monkeypatch.setattr(module, "IN_MEMORY", 10)
    assert lazy.held() is lazy


def test_any_order_of_dimensions(gappy, domain, archive):
    assert_equal(archive_of(gappy.transpose("lon", "time", "lat"), domain).read(slice(None)), archive.read(slice(None)))


def test_land_is_not_observed_whatever_is_on_it(gappy, domain, archive):
    wild = gappy.where(domain, 1e9)
    assert_equal(archive_of(wild, domain).read(slice(None)), archive.read(slice(None)))
    assert not archive.read(slice(None)).mask[:, 0][:, ~domain].any()


def test_an_image_is_an_archive_of_one_date(gappy, domain):
    archive = archive_of(gappy[9].drop_vars("time"), domain)
    piece = archive.read(slice(None))
    assert piece.values.shape == (1, 1, 20, 24) and archive.phase is None and archive.days.tolist() == [0.0]
    assert piece.withheld.any()


def two_bands(gappy):
    """The sea, and twice of it upside down: gaps of its own."""
    return xr.concat([gappy, 2 * gappy[:, ::-1].assign_coords(lat=gappy.lat)], "band").transpose("lat", "band", ...)


def test_every_band_has_gaps_of_its_own(gappy, domain):
    everywhere = np.ones_like(domain)
    archive = archive_of(two_bands(gappy), everywhere)
    piece = archive.read(slice(3, 25), slice(2, 18))
    assert archive.bands == 2 and piece.values.shape == (22, 2, 16, 24)
    raw = gappy.values[3:25, 2:18]
    np.testing.assert_array_equal((piece.mask + piece.withheld)[:, 0] == 1, np.isfinite(raw))
    np.testing.assert_array_equal((piece.mask + piece.withheld)[:, 1] == 1, np.isfinite(raw[:, ::-1]))
    assert piece.withheld[:, 0].any() and piece.withheld[:, 1].any()
    assert (piece.withheld[:, 0] != piece.withheld[:, 1]).any()
    for date in archive.withheld.dates:
        own, source = archive.seen(date), archive.withheld.sources[date, 0]
        np.testing.assert_array_equal(archive.withheld.hidden(date, archive.seen), own & ~archive.seen(source))


def test_samples_are_read_by_their_numbers(gappy, domain):
    samples = gappy.drop_vars("time").rename(time="sample")
    archive = archive_of(samples, domain)
    assert archive.independent and archive.phase is None
    whole, some = archive.read(slice(None)), np.array([2, 3, 17])
    for name in ("values", "mask", "withheld"):
        np.testing.assert_array_equal(getattr(archive.read(some), name), getattr(whole, name)[some])
    # Gaps of several others together: little of each sample is withheld.
    shares = whole.withheld.sum((1, 2, 3)) / (whole.withheld + whole.mask).sum((1, 2, 3))
    assert 0.03 < np.median(shares[shares > 0]) < 0.35 and (shares > 0).sum() >= 8


def test_a_piece_of_a_region_is_the_piece(gappy, domain, archive, monkeypatch):
    monkeypatch.setattr(module, "IN_MEMORY", 10)
    lazy = archive_of(gappy.chunk(time=4, lat=7), domain).held()
    t, y, x = slice(4, 25), slice(2, 19), slice(1, 24)
    loaded = lazy.load(t, y, x)
    assert loaded.values.dtype == np.float32
    for dates in (slice(7, 19), np.array([5, 9, 10, 24])):
        mine = lazy.read(dates, slice(3, 17), slice(5, 23), within=loaded)
        assert_equal(mine, archive.read(dates, slice(3, 17), slice(5, 23)))


def test_regions_are_whole_chunks_of_what_is_not_in_memory(gappy, domain, archive):
    lazy = archive_of(gappy.chunk(time=4, lat=7), domain)
    regions = lazy.regions((6, 5, 5))
    assert archive.regions((6, 5, 5)) is None and regions.t == [(0, 30)]


def test_what_is_withheld_is_found_in_one_pass(gappy, domain):
    archive = archive_of(gappy.chunk(time=4, lat=7), domain)
    again = dataclasses.replace(archive, masks=None)
    again.find_hidden()
    again.masks.at = None  # none is asked for any more
    for date in range(30):
        mine, other = again.hidden(date), archive.withheld.hidden(date, archive.seen)
        assert (mine is None) == (other is None)
        np.testing.assert_array_equal(mine, other)


def test_an_archive_keeps_its_masks_while_it_keeps_its_field(archive):
    other = dataclasses.replace(archive, withheld=None)
    assert other.masks is archive.masks
    assert dataclasses.replace(archive, field=archive.field.copy()).masks is not archive.masks
