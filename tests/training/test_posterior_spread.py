"""The table of the posterior's spread is that of the grid, not of the films that are cut from it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geogan.fields.field import Field
from geogan.model import prepare_archive
from geogan.prior import GaussianPrior
from geogan.training import posterior_spread
from geogan.training.posterior_spread import edge_variance, posterior_variances


def test_cells_beside_a_cut_are_left_out(model, gappy, monkeypatch):
    """At a cut the prior has more variance; the mean over the other cells is nearer to that of the whole grid."""
    prior = GaussianPrior(length=4.0, persistence=1.0, noise=0.1)
    model = replace(model, prior=prior)
    archive = prepare_archive(model, Field.of(gappy))
    hidden = replace(archive, field=archive.field.where(np.arange(len(archive.days)).reshape(-1, 1, 1, 1) < 1))

    def mean() -> float:
        return float(posterior_variances(model, hidden, draws=8, seed=0).variance.mean())

    whole = mean()
    monkeypatch.setattr(posterior_spread, "WHOLE", 0)
    monkeypatch.setattr(posterior_spread, "SIDE", 10)
    monkeypatch.setattr(posterior_spread, "MARGIN", 0)
    cut = mean()
    monkeypatch.setattr(posterior_spread, "MARGIN", 3)
    inner = mean()
    assert inner < 0.97 * cut
    assert inner == pytest.approx(whole, rel=0.15)


@pytest.mark.parametrize("prior", [GaussianPrior(length=10.0), GaussianPrior(length=30.0, detail=0.2, aspect=1.5)])
def test_the_variance_at_edges_is_that_of_the_covariance(prior):
    exact = np.diag(prior.covariance(torch.ones(36, 40)).numpy()).reshape(36, 40)
    np.testing.assert_allclose(edge_variance(prior, np.ones((36, 40), bool)), exact, rtol=0.1)
