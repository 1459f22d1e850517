"""Films show the observations in the domain without the withheld ones, from memory and from disk alike."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr

from geogan.archive.archive import Archive
from geogan.archive.standardiser import Standardiser
from geogan.fields.field import Field
from geogan.settings import TrainConfig


def assert_equal(film, other):
    mine, theirs = film.parts(), other.parts()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def archive_of(field, domain, *, seed=5, memory=TrainConfig.memory):
    field = Field.of(field, domain=domain)
    archive = Archive.of(field, Standardiser.fit(field), memory=memory)
    cells = domain.sum() * archive.bands
    share = np.array([archive.seen(date).sum() / cells for date in range(len(archive.days))])
    return archive.withholding(share, seed=seed)


@pytest.fixture
def archive(gappy, domain):
    return archive_of(gappy, domain)


def test_a_film_holds_the_observations(archive, gappy, domain):
    film = archive.read(slice(None))
    raw = gappy.values
    seen = np.isfinite(raw) & domain
    np.testing.assert_array_equal((film.mask + film.withheld)[:, 0] == 1, seen)
    assert (film.mask * film.withheld == 0).all() and film.withheld.sum() > 50
    assert (film.values[:, 0][~seen] == 0).all()
    back = archive.standardiser.inverse(film.values.numpy(), archive.phase)[:, 0]
    np.testing.assert_allclose(back[seen], raw[seen], atol=1e-4)
    types = {name: part.dtype for name, part in film.parts().items()}
    assert types.pop("days") == torch.float64 and types.pop("place") == torch.int64
    assert set(types.values()) == {torch.float32}
    assert film.days.tolist() == sorted(film.days)


def test_withheld_cells_are_not_in_the_mask(archive):
    dates = archive.withheld.dates
    assert len(dates) >= 3
    for date in dates:
        hidden = archive.withheld.hidden(date, archive.seen)
        film = archive.read(slice(date, date + 1))
        assert not film.mask[0][hidden].any()
        np.testing.assert_array_equal(film.withheld[0] == 1, hidden)


def test_a_part_is_the_same_part_of_the_whole(archive):
    whole = archive.read(slice(None))
    t, y, x = slice(7, 19), slice(3, 17), slice(5, 23)
    part = archive.read(t, y, x)
    for name in ("values", "mask", "withheld"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[t, :, y, x])
    np.testing.assert_array_equal(part.domain, whole.domain[y, x])
    np.testing.assert_array_equal(part.days, whole.days[t])


def test_a_lazy_archive_reads_the_same_and_stays_lazy(gappy, domain, archive):
    lazy = archive_of(gappy.chunk(time=4, lat=7), domain)
    assert_equal(lazy.read(slice(2, 20), slice(1, 18)), archive.read(slice(2, 20), slice(1, 18)))
    assert lazy.field.chunks is not None and lazy.held().field.chunks is None
    assert archive.held() is archive
    large = archive_of(gappy.chunk(time=4, lat=7), domain, memory=40)
    assert large.held() is large


def test_dimensions_may_be_in_any_order(gappy, domain, archive):
    assert_equal(archive_of(gappy.transpose("lon", "time", "lat"), domain).read(slice(None)), archive.read(slice(None)))


def test_values_on_land_are_not_observations(gappy, domain, archive):
    wild = gappy.where(domain, 1e9)
    assert_equal(archive_of(wild, domain).read(slice(None)), archive.read(slice(None)))
    assert not archive.read(slice(None)).mask[:, 0][:, ~domain].any()


def test_an_image_is_an_archive_of_one_date(gappy, domain):
    archive = archive_of(gappy[9].drop_vars("time"), domain)
    film = archive.read(slice(None))
    assert film.values.shape == (1, 1, 20, 24) and archive.phase is None and archive.days.tolist() == [0.0]
    assert film.withheld.any()


def two_bands(gappy):
    """Return the sea, and twice its values upside down, with other gaps."""
    return xr.concat([gappy, 2 * gappy[:, ::-1].assign_coords(lat=gappy.lat)], "band").transpose("lat", "band", ...)


def test_every_band_has_its_own_gaps(gappy, domain):
    everywhere = np.ones_like(domain)
    archive = archive_of(two_bands(gappy), everywhere)
    film = archive.read(slice(3, 25), slice(2, 18))
    assert archive.bands == 2 and film.values.shape == (22, 2, 16, 24)
    raw = gappy.values[3:25, 2:18]
    np.testing.assert_array_equal((film.mask + film.withheld)[:, 0] == 1, np.isfinite(raw))
    np.testing.assert_array_equal((film.mask + film.withheld)[:, 1] == 1, np.isfinite(raw[:, ::-1]))
    assert film.withheld[:, 0].any() and film.withheld[:, 1].any()
    assert (film.withheld[:, 0] != film.withheld[:, 1]).any()
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
    # The common gaps of several samples are used, so little of each sample is withheld.
    shares = whole.withheld.sum((1, 2, 3)) / (whole.withheld + whole.mask).sum((1, 2, 3))
    assert 0.03 < np.median(shares[shares > 0]) < 0.35 and (shares > 0).sum() >= 8


def test_a_film_within_a_loaded_part_is_the_same_film(gappy, domain, archive):
    lazy = archive_of(gappy.chunk(time=4, lat=7), domain, memory=40).held()
    t, y, x = slice(4, 25), slice(2, 19), slice(1, 24)
    loaded = lazy.load(t, y, x)
    assert loaded.values.dtype == np.float32
    for dates in (slice(7, 19), np.array([5, 9, 10, 24])):
        mine = lazy.read(dates, slice(3, 17), slice(5, 23), within=loaded)
        assert_equal(mine, archive.read(dates, slice(3, 17), slice(5, 23)))


def test_only_a_lazy_archive_has_chunk_groups(gappy, domain, archive):
    lazy = archive_of(gappy.chunk(time=4, lat=7), domain)
    groups = lazy.chunk_groups((6, 5, 5))
    assert archive.chunk_groups((6, 5, 5)) is None and groups.t == [(0, 30)]


def test_withheld_cells_are_computed_in_one_pass(gappy, domain):
    archive = archive_of(gappy.chunk(time=4, lat=7), domain)
    again = dataclasses.replace(archive, masks=None)
    again.find_hidden()
    again.masks.at = None  # no mask is read again
    for date in range(30):
        mine, other = again.hidden(date), archive.withheld.hidden(date, archive.seen)
        assert (mine is None) == (other is None)
        np.testing.assert_array_equal(mine, other)


def test_an_archive_keeps_its_masks_as_long_as_its_field(archive):
    other = dataclasses.replace(archive, withheld=None)
    assert other.masks is archive.masks
    assert dataclasses.replace(archive, field=archive.field.copy()).masks is not archive.masks
