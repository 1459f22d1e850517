"""Preparation of a training: fitted to the observations shown, or refused in one sentence."""

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor

import dask.array
import numpy as np
import pytest
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter

from geogan import corrupt
from geogan.archive import Archive, check_field
from geogan.archive import observed as masks
from geogan.fields.field import Field
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.footprint import Footprint
from geogan.operators.observed import ObservedGaps
from geogan.operators.sampling import SparseSampling
from geogan.operators.tracks import Tracks
from geogan.settings import Settings
from geogan.training import preparation
from geogan.training.blocks import BlockMaker
from geogan.training.judge import Judge
from geogan.training.preparation import check_draws, prepare_model, read_once, share_seen


def prepare(field, domain, operator, **options):
    message = options.pop("message", lambda sentence: None)
    known = Field.of(field, domain=domain)
    settings = Settings(operator=operator).replaced(**{"window": 1, "first_guess": False} | options)
    return prepare_model(known, check_field(known), settings, message=message)


def test_what_is_found_is_said(gappy, domain, prior):
    said = []
    prepared = prepare(gappy, domain, CloudMask(), first_guess=prior, message=said.append)
    assert [sentence.split(":")[0] for sentence in said] == ["withheld", "climatology", "operator", "first guess"]
    model = prepared.model
    assert model.network is None and model.prior == prior and model.frames == 3
    assert (model.variable, model.units) == ("sst", "degree_Celsius")
    np.testing.assert_array_equal(model.y, gappy.lat.values)
    covered = 1 - float(gappy.notnull().sum()) / (30 * domain.sum())
    assert model.operator.coverage == pytest.approx(covered, abs=0.02) and model.operator.scale is not None
    np.testing.assert_allclose(prepared.share_seen, gappy.notnull().sum(("lat", "lon")) / domain.sum())
    assert 0 < prepared.scale < 1
    guess = Judge.of(prepared.archive, prepared.model.operator, prior, frames=3).error(None)
    assert prepared.scale == pytest.approx(guess, rel=1.0)


def test_doubtful_blurs_are_named(gappy, domain, prior):
    """A blur of a transformed field, and one that is wider than measurements with small waves allow."""
    operator, said = Compose((Footprint(fwhm=3.0), CloudMask())), []
    wide = dataclasses.replace(prior, amplitude=5.0)
    prepare(gappy, domain, operator, first_guess=wide, transform="log", message=said.append)
    assert sum("approximate" in each or "vary 5.0 times as much" in each for each in said) == 2
    said.clear()
    prepare(gappy, domain, operator, first_guess=prior, message=said.append)
    assert not any("approximate" in each or "times as much" in each for each in said)


def test_the_first_guess_is_fitted_to_this_field(truth, domain, gappy, monkeypatch):
    """The fitted parameters have a smaller error on hidden cells than the first parameters of the search."""
    found = {}
    real = preparation.fit_prior

    def few(films, **_):
        found["before"] = preparation.hidden_error(real(films, evaluations=1), films)
        fitted = real(films, evaluations=4)
        found["after"] = preparation.hidden_error(fitted, films)
        return fitted

    monkeypatch.setattr(preparation, "fit_prior", few)
    prepared = prepare(gappy[:10], domain, CloudMask(), first_guess=True)
    assert found["after"] == prepared.scale <= found["before"] < 1


def test_a_field_that_drifts_gets_a_first_guess_that_drifts():
    random = np.random.default_rng(0)
    wide = gaussian_filter(random.standard_normal((16, 60)), 1.5, mode="wrap")
    values = np.stack([np.roll(wide, 2 * date, 1)[:, :20] for date in range(10)])
    clouds = gaussian_filter(random.standard_normal(values.shape), (0.5, 2, 2))
    times = np.datetime64("2001-01-01", "ns") + np.arange(10) * np.timedelta64(10, "m")
    rain = xr.DataArray(values, dims=("time", "y", "x"), coords={"time": times}, name="rain").where(clouds > -0.1)
    said = []
    prepared = prepare(
        rain, np.ones((16, 20), bool), CloudMask(), first_guess=True, prior_evaluations=3, message=said.append
    )
    assert prepared.model.prior.drift_x == pytest.approx(2 * 144, abs=20)
    assert prepared.model.prior.drift_y == pytest.approx(0, abs=20)
    assert re.search(r"first guess: .*drift -?0\.\d+ rows and [12]\.\d+ columns in 10 minutes, persistence", said[-1])


def test_the_search_does_not_see_what_is_withheld(gappy, domain, prior):
    """The films of the first guess hold no withheld value."""
    prepared = prepare(gappy, domain, CloudMask(), first_guess=prior)
    archive = prepared.archive
    poisoned = archive.field.copy(deep=True)
    for date in archive.withheld.dates:
        poisoned.values[date][archive.withheld.hidden(date, archive.seen)] = 1e6
    wild = dataclasses.replace(archive, field=poisoned)
    for mine, other in zip(
        preparation._hidden_films(archive, None, prepared.share_seen, seed=0)[0],
        preparation._hidden_films(wild, None, prepared.share_seen, seed=0)[0],
        strict=True,
    ):
        for film in (mine, other):
            assert (film.hidden * film.kept == 0).all() and film.hidden.any()
        assert all((a * (mine.kept + mine.hidden) == b * (mine.kept + mine.hidden)).all()
                   for a, b in ((mine.values, other.values),))  # fmt: skip


@pytest.fixture
def on_disk(gappy, domain):
    """Return what is prepared from an archive read from disk."""
    return prepare(gappy.chunk(time=5, lat=6, lon=8), domain, CloudMask(), memory=24_000)


def blocks_on_disk(prepared, *, seed=0, archive=None, side=8):
    return BlockMaker(
        archive or prepared.archive, prepared.model.operator, None, prepared.share_seen, dates=6, side=side, seed=seed
    )


def alike(one, other):
    mine, theirs = one.parts(), other.parts()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_blocks_of_an_archive_on_disk_are_functions_of_seed_and_number(on_disk):
    make = blocks_on_disk(on_disk)
    went = [make(number) for number in range(24)]
    resumed = blocks_on_disk(on_disk)
    assert all(alike(resumed(number), went[number]) for number in (17, 18, 5, 23))
    assert not alike(blocks_on_disk(on_disk, seed=1)(0), went[0])
    with ThreadPoolExecutor(4) as pool:
        several = list(pool.map(blocks_on_disk(on_disk), range(24)))
    assert all(alike(mine, other) for mine, other in zip(went, several))
    assert len({float(block.days[0]) for block in went}) > 4


def test_blocks_of_an_archive_on_disk_are_those_of_its_regions(on_disk, monkeypatch):
    """Each block equals the film of the archive in memory; one region is read for several blocks."""
    whole = dataclasses.replace(on_disk.archive, field=on_disk.archive.field.compute())
    loaded = []
    real = Archive.load

    def count(self, *region):
        loaded.extend([region] * self.streamed)
        return real(self, *region)

    monkeypatch.setattr(Archive, "load", count)
    make = blocks_on_disk(on_disk)
    places = []
    real_read = Archive.read

    def note(self, *place, within=None):
        places.append(place)
        return real_read(self, *place, within=within)

    monkeypatch.setattr(Archive, "read", note)
    for number in range(12):
        block = make(number)
        film = real_read(whole, *places[-1])
        assert torch.equal(block.values, film.values * film.mask)
        assert torch.equal(block.mask, film.mask)
    assert len(loaded) < 12


def test_what_reading_costs_is_said(on_disk):
    whole = dataclasses.replace(on_disk.archive, field=on_disk.archive.field.chunk(-1))
    for archive, words in (
        (on_disk.archive, "in regions of 15 x 12 x 8 values$"),
        (
            whole,
            "have 30 x 20 x 24 values, so each value is decoded .* times: rechunk it to regions of that size",
        ),
    ):
        assert re.search(words, blocks_on_disk(on_disk, archive=archive).reading)


def test_withheld_observations_are_in_no_block_of_an_archive_on_disk(on_disk):
    archive = on_disk.archive
    poisoned = archive.field.compute()
    for date in archive.withheld.dates:
        poisoned.values[date][archive.hidden(date)] = 1e6
    wild = dataclasses.replace(archive, field=poisoned.chunk(dict(zip(poisoned.dims, archive.field.chunks))))
    mine, other = blocks_on_disk(on_disk), blocks_on_disk(on_disk, archive=wild)
    assert all(alike(mine(number), other(number)) for number in range(12))


@pytest.mark.parametrize("transform", ["none", "log"])
def test_an_archive_on_disk_is_prepared_alike_and_read_once(gappy, domain, transform):
    """The archive is read once, then only the few dates that withholding and the operator need."""
    measured = (gappy if transform == "none" else np.exp(gappy / 10)).where(domain, -3.0)
    expected = prepare(measured, domain, CloudMask(), transform=transform)
    read = np.zeros(gappy.shape, int)
    numbers = xr.DataArray(np.arange(gappy.size, dtype=float).reshape(gappy.shape), dims=gappy.dims)

    def count(values, places):
        if values.size:
            read[np.unravel_index(places.astype(int), read.shape)] += 1
        return values

    lazy = measured.chunk(time=5, lat=6)
    places = numbers.chunk(time=5, lat=6)
    lazy = lazy.copy(data=dask.array.map_blocks(count, lazy.data, places.data, dtype=float, meta=np.empty((0,) * 3)))
    survey, sums = read_once(Field.of(lazy), transform=transform, memory=40, message=print)
    assert (read == 1).all()
    known = Field.of(lazy, domain=domain)
    training = {"memory": 40}
    settings = Settings(operator=CloudMask(), window=1, transform=transform, first_guess=False, training=training)
    found = prepare_model(known, survey, settings, sums=sums)
    # In so short a record all chunks have dates that lend gaps, that lose something, and that the operator looks at.
    assert read.max() <= 4
    mine, other = found.model.standardiser, expected.model.standardiser
    np.testing.assert_allclose(mine.coefficients[..., domain], other.coefficients[..., domain], rtol=1e-6)
    np.testing.assert_allclose(mine.scale, other.scale)
    np.testing.assert_array_equal(found.model.withheld.sources, expected.model.withheld.sources)
    assert found.model.operator == expected.model.operator
    np.testing.assert_allclose(found.share_seen, expected.share_seen)


def test_the_first_guess_is_fitted_to_pieces_of_an_archive_on_disk(on_disk, monkeypatch):
    """Nothing but the films is read."""
    read = []
    real = masks.read_values
    monkeypatch.setattr(masks, "read_values", lambda *place: read.append(place) or real(*place))
    films, _ = preparation._hidden_films(on_disk.archive, None, on_disk.share_seen, seed=0)
    assert films and not read
    for film in films:
        assert (film.hidden * film.kept == 0).all() and film.hidden.any()


def test_fewer_dates_than_the_window(gappy, domain):
    assert prepare(gappy[:4], domain, CloudMask(), window=3).model.frames == 4
    with pytest.raises(InputError, match="window 4 needs 4 dates before or after .* has 4 in all; give --window 3 at"):
        prepare(gappy[:4], domain, CloudMask(), window=4)
    assert prepare(gappy[3].drop_vars("time"), domain, CloudMask(), window=2).model.frames == 1


def test_the_share_seen_counts_within_the_domain(gappy, domain):
    survey = check_field(Field.of(gappy))
    half = domain.copy()
    half[:, 12:] = False
    assert (share_seen(survey, half) <= 1).all() and (share_seen(survey, domain) <= 1).all()


def test_gaps_and_operator_must_belong_together(truth, gappy, domain):
    with pytest.raises(InputError, match="no gaps, but the operator cloud_mask makes gaps.* with geogan corrupt"):
        prepare(truth, domain, CloudMask())
    with pytest.raises(InputError, match="sst has gaps, but the operator convolve_noise.* makes none; add one"):
        prepare(gappy, domain, ConvolveNoise())
    prepare(gappy, domain, Compose((ConvolveNoise(), ObservedGaps())))


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (Tracks(spacing=1e7, repeat=1), "tracks:spacing=10000000.0,repeat=1 hides every cell of 32 drawn frames"),
        (SparseSampling(fraction=1), "sparse_sampling:fraction=1 hides no cell of 32 drawn frames; give parameters"),
    ],
)
def test_operators_that_hide_everything_or_nothing_are_refused(operator, message):
    with pytest.raises(InputError, match=message):
        check_draws(operator, (20, 24), 1)
    # A fitted operator may hide very little.
    check_draws(SparseSampling(fraction=1), (20, 24), 1, may_hide_nothing=True)


def test_tracks_of_a_repeat_orbit_hide_some_of_each_other(truth, domain):
    """Dates observe so little that gaps of many are combined; but a repeat orbit is back on some of them."""
    tracks = Tracks(spacing=12, repeat=4, satellites=1)
    prepared = prepare(corrupt(truth, tracks, seed=3), domain, tracks)
    films, _ = preparation._hidden_films(prepared.archive, tracks, prepared.share_seen, seed=0)
    shares = [float(film.hidden.sum() / (film.hidden.sum() + film.kept.sum())) for film in films]
    assert len(films) >= 2
    assert 0.1 < np.mean(shares) < 0.7


def test_domains_that_cannot_be(gappy, domain):
    with pytest.raises(InputError, match=r"the domain has the shape \(19, 24\), where \(20, 24\) is expected"):
        prepare(gappy, domain[1:], CloudMask())
    with pytest.raises(InputError, match="sst has no value inside the domain"):
        prepare(gappy, ~domain, CloudMask())
    with pytest.raises(InputError, match="sst has 7 x 24 cells, where a network needs 8 x 8 or more"):
        prepare(gappy[:, 8:15], domain[8:15], CloudMask())


def test_a_domain_wider_than_what_was_seen_is_a_gap(truth, domain):
    """The observed cells have no gaps, but the domain has more cells."""
    with pytest.raises(InputError, match="has gaps, but the operator convolve_noise"):
        prepare(truth, np.ones_like(domain), ConvolveNoise())
