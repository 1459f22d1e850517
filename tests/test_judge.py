"""The judge measures on withheld observations alone, and is the same every time."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr

from geogan import judge as module
from geogan.archive import Archive
from geogan.coordinates import find_axes
from geogan.filling import prepared
from geogan.judge import Judge
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.standardise import Standardiser

CLOUDS = CloudMask()


@pytest.fixture
def archive(model, gappy):
    return prepared(model, gappy, withheld=True)


def test_without_a_guess_the_error_is_that_of_the_climatology(archive):
    piece = archive.read(slice(None))
    expected = np.sqrt((piece.values[piece.withheld > 0] ** 2).mean())
    assert Judge.of(archive, CLOUDS, None, frames=3).error(None) == pytest.approx(float(expected), rel=1e-5)


def test_every_withheld_cell_counts_once(archive):
    judge = Judge.of(archive, CLOUDS, None, frames=3)
    assert len(judge.stretches) == len(archive.withheld.runs())
    # Also where stretches overlap: they look at dates around a run, on which another run's cells may lie.
    assert judge.cells == archive.read(slice(None)).withheld.sum()
    for stretch in judge.stretches:
        assert (stretch.hidden * stretch.mask == 0).all() and len(stretch.values) >= 3


def test_a_guess_and_a_network_are_judged_as_they_fill(archive, prior, model):
    judge = Judge.of(archive, CLOUDS, prior, frames=3)
    guessed = judge.error(None)
    assert guessed < 0.8 * Judge.of(archive, CLOUDS, None, frames=3).error(None)
    untrained = dataclasses.replace(model).network.__class__(frames=3, width=4)
    assert judge.error(untrained) == pytest.approx(guessed, rel=1e-4)
    assert judge.error(model.network) != pytest.approx(guessed, rel=1e-3)
    assert judge.error(model.network) == Judge.of(archive, CLOUDS, prior, frames=3).error(model.network)
    assert judge.error(model.network, precision=torch.bfloat16) == pytest.approx(judge.error(model.network), rel=0.05)


def test_withheld_values_are_no_part_of_the_answer(archive, prior, model, gappy, domain):
    """Shift them all: errors move by the shift, so no estimate did."""
    moved = gappy.copy(deep=True)
    for date in archive.withheld.dates:
        moved.values[date][archive.withheld.hidden(date, archive.seen)[0]] += 1000 * archive.standardiser.scale
    wild = dataclasses.replace(archive, field=moved.expand_dims("band", 1))
    for network in (None, model.network):
        assert Judge.of(wild, CLOUDS, prior, frames=3).error(network) == pytest.approx(1000, rel=0.01)


def test_large_grids_are_judged_around_what_is_withheld(archive, monkeypatch):
    monkeypatch.setattr(module, "SIDE", 5)
    judge = Judge.of(archive, CLOUDS, None, frames=3)
    assert all(max(stretch.domain.shape) <= 10 and stretch.hidden.any() for stretch in judge.stretches)
    again = Judge.of(archive, CLOUDS, None, frames=3)
    assert all(torch.equal(a.values, b.values) for a, b in zip(judge.stretches, again.stretches))


def test_many_runs_are_judged_by_some(archive, monkeypatch):
    monkeypatch.setattr(module, "STRETCHES", 1)
    assert len(Judge.of(archive, CLOUDS, None, frames=3).stretches) == 1


def test_nothing_withheld_is_said(archive):
    with pytest.raises(InputError, match="no observation could be withheld to choose the best weights by"):
        Judge.of(dataclasses.replace(archive, withheld=None), CLOUDS, None, frames=3)


def test_what_was_withheld_is_compared_with_its_like(archive):
    """Behind a blur, the field itself is a bad guess of what was withheld, and its blur a perfect one."""
    blur = ConvolveNoise(l=5, sigma=0.0)
    sharp = torch.randn(6, 1, 20, 24, generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(sharp)
    measured = blur.blur(sharp[None])[0]
    stretch = module.Stretch(measured, mask, sharp, mask, torch.ones(20, 24))
    assert Judge(Compose((blur, CLOUDS)), (stretch,)).error(None) == pytest.approx(0, abs=1e-6)
    assert Judge(CLOUDS, (stretch,)).error(None) > 0.5


def test_samples_are_judged_side_by_side(gappy, domain, prior):
    samples = gappy.drop_vars("time").rename(time="sample")
    both = xr.concat([samples, samples[:, ::-1].assign_coords(lat=samples.lat)], "band")
    everywhere = np.ones_like(domain)
    archive = Archive.of(both, everywhere, Standardiser.fit(both, find_axes(both), everywhere))
    archive = archive.withholding(np.array([archive.seen(date).mean() for date in range(30)]), seed=1)
    judge = Judge.of(archive, CLOUDS, prior, frames=1)
    assert judge.cells == archive.read(slice(None)).withheld.sum() > 100
    assert all(stretch.values.shape[1:] == (2, 20, 24) for stretch in judge.stretches)
    assert judge.error(None) < 0.8 * Judge.of(archive, CLOUDS, None, frames=1).error(None)
