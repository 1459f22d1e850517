"""What is found out before training: fitted to what may be seen, or refused in a sentence."""

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from geogan import preparation
from geogan.coordinates import find_axes
from geogan.io import check_field
from geogan.judge import Judge
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.observed import ObservedGaps
from geogan.preparation import block_maker, prepare_model, share_seen


def prepare(field, domain, operator, **options):
    options = {"window": 1, "transform": "none", "first_guess": False, "seed": 0, "message": lambda _: None} | options
    return prepare_model(field, check_field(field, find_axes(field)), domain, operator, **options)


def test_what_is_found_is_said(gappy, domain, quick, prior):
    said = []
    prepared = prepare(gappy, domain, CloudMask(), first_guess=True, message=said.append)
    assert [sentence.split(":")[0] for sentence in said] == ["withheld", "climatology", "operator", "first guess"]
    model = prepared.model
    assert model.network is None and replace(model.prior, amplitude=1.0) == prior and model.frames == 3
    assert (model.variable, model.units) == ("sst", "degree_Celsius")
    np.testing.assert_array_equal(model.y, gappy.lat.values)
    covered = 1 - float(gappy.notnull().sum()) / (30 * domain.sum())
    assert model.operator.coverage == pytest.approx(covered, abs=0.02) and model.operator.scale is not None
    np.testing.assert_allclose(prepared.share_seen, gappy.notnull().sum(("lat", "lon")) / domain.sum())
    assert 0 < prepared.scale < 1
    guess = Judge.of(prepared.archive, prepared.model.operator, prior, frames=3).error(None)
    assert prepared.scale == pytest.approx(guess, rel=1.0)


def test_the_first_guess_is_fitted_to_this_field(truth, domain, gappy, monkeypatch):
    """Parameters that are found hide less error than those the search starts from."""
    found = {}
    real = preparation.fit_prior

    def few(pieces, **_):
        found["before"] = preparation.hidden_error(real(pieces, evaluations=1), pieces)
        fitted = real(pieces, evaluations=12)
        found["after"] = preparation.hidden_error(fitted, pieces)
        return fitted

    monkeypatch.setattr(preparation, "fit_prior", few)
    small = gappy[:16]
    prepared = prepare(small, domain, CloudMask(), first_guess=True)
    assert found["after"] == prepared.scale <= found["before"] < 1


def test_the_search_does_not_see_what_is_withheld(gappy, domain, quick, monkeypatch):
    """Nor does any value of it reach the pieces the first guess is fitted on."""
    prepared = prepare(gappy, domain, CloudMask(), first_guess=True)
    archive = prepared.archive
    poisoned = archive.field.copy(deep=True)
    for date in archive.withheld.dates:
        poisoned.values[date][archive.withheld.hidden(date, archive.seen)] = 1e6
    wild = dataclasses.replace(archive, field=poisoned)
    for mine, other in zip(
        preparation._hidden_pieces(archive, None, prepared.share_seen, seed=0),
        preparation._hidden_pieces(wild, None, prepared.share_seen, seed=0),
        strict=True,
    ):
        for piece in (mine, other):
            assert (piece.hidden * piece.kept == 0).all() and piece.hidden.any()
        assert all((a * (mine.kept + mine.hidden) == b * (mine.kept + mine.hidden)).all()
                   for a, b in ((mine.values, other.values),))  # fmt: skip


def test_blocks_hide_only_where_asked(gappy, domain):
    prepared = prepare(gappy, domain, CloudMask())
    for hiding in (True, False):
        make = block_maker(prepared.archive, prepared.model.operator, prepared.share_seen, seed=0, frames=3,
                           side=128, hiding=hiding)  # fmt: skip
        hidden = sum(float((block.mask - block.kept).sum()) for block in (make(None, number) for number in range(4)))
        assert (hidden > 0) == hiding


def test_fewer_dates_than_the_window(gappy, domain):
    assert prepare(gappy[:4], domain, CloudMask(), window=3).model.frames == 4
    with pytest.raises(InputError, match="window 4 asks for 4 dates on each side .* has 4 in all; give --window 3 at"):
        prepare(gappy[:4], domain, CloudMask(), window=4)
    assert prepare(gappy[3].drop_vars("time"), domain, CloudMask(), window=2).model.frames == 1


def test_the_share_seen_counts_within_the_domain(gappy, domain):
    survey = check_field(gappy, find_axes(gappy))
    half = domain.copy()
    half[:, 12:] = False
    assert (share_seen(survey, half) <= 1).all() and (share_seen(survey, domain) <= 1).all()


def test_gaps_and_operator_must_belong_together(truth, gappy, domain):
    with pytest.raises(InputError, match="no gaps, but the operator cloud_mask makes gaps.* with geogan corrupt"):
        prepare(truth, domain, CloudMask())
    with pytest.raises(InputError, match="sst has gaps, but the operator convolve_noise.* makes none; add one"):
        prepare(gappy, domain, ConvolveNoise())
    prepare(gappy, domain, Compose((ConvolveNoise(), ObservedGaps())))


def test_domains_that_cannot_be(gappy, domain):
    with pytest.raises(InputError, match=r"the domain has shape \(19, 24\), sst has \(20, 24\)"):
        prepare(gappy, domain[1:], CloudMask())
    with pytest.raises(InputError, match="sst has no value inside the domain"):
        prepare(gappy, ~domain, CloudMask())
    with pytest.raises(InputError, match="sst has 7 x 24 cells, the network needs at least 8 each way"):
        prepare(gappy[:, 8:15], domain[8:15], CloudMask())


def test_a_domain_wider_than_what_was_seen_is_a_gap(truth, domain):
    """Gap-free where it was seen, but the mask says that there is more."""
    with pytest.raises(InputError, match="has gaps, but the operator convolve_noise"):
        prepare(truth, np.ones_like(domain), ConvolveNoise())
