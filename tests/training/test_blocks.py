"""A block is a function of its seed and number; the blocks of a step are a function of the step."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from geogan.archive import Archive, Standardiser
from geogan.fields.field import Field
from geogan.operators.cloud import CloudMask
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.pixels import RemovePixel
from geogan.training.blocks import BlockContent, BlockMaker, added_gaps, block_dates, samples_in_block

CLOUDS = CloudMask(coverage=0.4, scale=5.0)


def archive_of(field, domain):
    archive = Archive.of(Field.of(field, domain=domain), Standardiser.fit(Field.of(field, domain=domain)))
    return archive.withholding(shares(archive), seed=5)


def shares(archive):
    return np.array([archive.seen(date).sum() / archive.domain.sum() for date in range(len(archive.days))])


@pytest.fixture
def archive(gappy, domain):
    return archive_of(gappy, domain)


def block_of(archive, number, prior=None, *, operator=CLOUDS, seed=1, side=12, **content):
    make = BlockMaker(
        archive, operator, prior, shares(archive), dates=7, side=side, seed=seed, content=BlockContent(**content)
    )
    return make(number)


def equal(a, b):
    mine, other = a.parts(), b.parts()
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)


def test_seed_and_number_say_it_all(archive, prior):
    first = block_of(archive, 3, prior)
    torch.rand(5)
    block_of(archive, 2, prior)
    assert equal(first, block_of(archive, 3, prior))
    assert not equal(first, block_of(archive, 4, prior)) and not equal(first, block_of(archive, 3, prior, seed=2))


def test_lazy_or_in_memory(archive, gappy, domain, prior):
    lazy = archive_of(gappy.chunk(time=5, lat=9), domain)
    for number in range(3):
        assert equal(block_of(archive, number, prior), block_of(lazy, number, prior))


def test_what_is_in_a_block(archive, prior):
    hidden = shown = 0.0
    for number in range(12):
        block = block_of(archive, number, prior)
        assert block.values.shape == (7, 1, 12, 12) and block.domain.shape == (12, 12) and len(block.days) == 7
        assert (block.kept <= block.mask).all() and (block.mask <= block.domain).all()
        assert (block.values[block.mask == 0] == 0).all() and (block.guess * (1 - block.domain) == 0).all()
        hidden, shown = hidden + float((block.mask - block.kept).sum()), shown + float(block.kept.sum())
    # About a third of the frames lose about four tenths.
    assert 0.05 < hidden / (hidden + shown) < 0.5


def test_withheld_observations_are_in_no_block(archive, gappy, domain, prior):
    """Blocks do not depend on withheld values."""
    poisoned = gappy.copy(deep=True)
    for date in archive.withheld.dates:
        poisoned.values[date][archive.withheld.hidden(date, archive.seen)[0]] = 1e6
    wild = dataclasses.replace(archive, field=poisoned.expand_dims("band", 1))
    assert wild.read(slice(None)).values.abs().max() > 1e4
    for number in range(8):
        assert equal(block_of(archive, number, prior, side=24), block_of(wild, number, prior, side=24))


def test_the_first_guess_is_solved_from_what_is_kept(archive, prior):
    block = block_of(archive, 1, prior)
    expected = prior.map((block.values * block.kept)[None], block.kept[None], block.domain, block.days)[0]
    assert torch.equal(block.guess, expected) and block.guess.abs().sum() > 0
    assert (block_of(archive, 1).guess == 0).all()


def test_nothing_more_is_hidden_where_that_serves_nothing(archive):
    for options in ({"has_hidden": False}, {"operator": ConvolveNoise()}):
        block = block_of(archive, 1, **options)
        assert torch.equal(block.kept, block.mask) and block.mask.any()


@pytest.mark.parametrize(
    ("operator", "coverage"),
    [(CLOUDS, 0.4), (RemovePixel(0.2), 0.2), (RemovePixel(0.55), 0.55), (RemovePixel(0.95), 0.95)],
)
def test_a_moderate_share_is_hidden_whatever_the_coverage(operator, coverage):
    kept = added_gaps(operator, (40, 12, 1, 16, 18), coverage, generator=torch.Generator().manual_seed(0))
    assert 0.1 < 1 - float(kept.mean()) < 0.45


def test_blocks_of_samples_are_random_ones(gappy, domain):
    samples = gappy.drop_vars("time").rename(time="sample")
    archive = archive_of(xr.concat([samples] * 4, "sample"), np.ones_like(domain))
    blocks = [block_of(archive, number, operator=RemovePixel(p=0.2)) for number in range(4)]
    starts = {tuple((block.days / 1e6).long().tolist()) for block in blocks}
    assert len(starts) == 4 and all(len(block.values) == samples_in_block(archive) for block in blocks)
    # Hidden where two draws agree, for the archive itself is half covered.
    hidden = sum(float((block.mask - block.kept).sum()) for block in blocks)
    assert hidden / sum(float(block.mask.sum()) for block in blocks) == pytest.approx(0.2**2, abs=0.02)


def test_more_samples_are_held_where_none_is_prepared():
    """A discriminator that sees few images at a time learns them."""
    for side, prepared, read in ((16, 64, 512), (32, 64, 507), (64, 31, 126), (512, 16, 16)):
        images = SimpleNamespace(bands=1, domain=np.ones((side, side)))
        assert (samples_in_block(images), samples_in_block(images, is_prepared=False)) == (prepared, read)


def test_deviations_are_the_posteriors(archive, prior):
    """Their mean square is the posterior variance: near 0 at observations, the field's variance far from them."""
    found = [block_of(archive, 0, prior, has_deviation=True, seed=seed) for seed in range(12)]
    plain = block_of(archive, 0, prior, seed=3)
    assert plain.deviation is None
    # The draw comes last: the rest of the block is the same.
    for name, part in plain.parts().items():
        assert torch.allclose(getattr(found[3], name), part, atol=2e-3)
    seen, unseen = (
        torch.cat([block.deviation[(block.kept == shown) & (block.domain > 0)] for block in found]) for shown in (1, 0)
    )
    assert seen.std() < 0.6 * unseen.std() and unseen.std() < 1.5 * prior.amplitude
    assert unseen.mean().abs() < 0.5 * unseen.std()


def test_blocks_of_a_small_grid_are_longer():
    """As many values as 16 dates of a large grid, at most 64 dates, at least a window."""
    for side, dates in ((8, 64), (50, 26), (64, 16), (500, 16)):
        grid = SimpleNamespace(bands=1, domain=np.ones((side, side)), days=np.arange(1000.0))
        assert block_dates(grid, 5) == dates and block_dates(grid, 99) == 99
        grid.days = np.arange(7.0)
        assert block_dates(grid, 5) == 7
