"""AmbientGAN learns a family of images from measurements of them, and finds the one behind each measurement."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from geogan.evaluation.baselines.ambientgan import LatentGenerator, ambientgan, search_latent, train_ambientgan
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.pixels import RemovePixel

HIDING = RemovePixel(0.7)


def draw(seed):
    return torch.Generator().manual_seed(seed)


def blobs(count, seed=0):
    """A family of two parameters: bright spots at random places, (count, 1, 1, 16, 16), within [-1, 1]."""
    row, column = 3 + 9 * torch.rand((2, count, 1, 1, 1, 1), generator=draw(seed))
    y, x = torch.arange(16.0)[:, None], torch.arange(16.0)
    return 2 * torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 12.5) - 1


@pytest.fixture(scope="module")
def truth():
    return blobs(300)


@pytest.fixture(scope="module")
def seen(truth):
    return HIDING.apply(truth, HIDING.sample(tuple(truth.shape), generator=draw(9)))


@pytest.fixture(scope="module")
def generator(seen):
    return train_ambientgan(*seen, HIDING, latent=8, width=8, batch=16, steps=250, bounded=True)


def test_it_beats_the_mean_image_where_nothing_was_seen(truth, seen, generator):
    found = search_latent(generator, seen.values[:20], seen.mask[:20], HIDING, iterations=100)
    mean = seen.values.sum(0) / seen.mask.sum(0)
    hidden = 1 - seen.mask[:20]
    error, of_mean = ((hidden * (guess - truth[:20]) ** 2).sum() / hidden.sum() for guess in (found, mean))
    assert error < 0.7 * of_mean


@pytest.mark.parametrize("operator", [HIDING, ConvolveNoise(l=5, sigma=0.05)], ids=["hidden", "blurred"])
def test_an_image_of_its_own_is_found_again(generator, operator):
    with torch.no_grad():
        own = generator(torch.randn(6, 8, generator=draw(1)))
        others = generator(torch.randn(6, 8, generator=draw(2)))
    measured = operator.apply(own, operator.sample(tuple(own.shape), generator=draw(3)))
    found = search_latent(generator, *measured, operator, weight_prior=1e-4, iterations=150)
    # Three starts may all end in a lesser minimum, now and then.
    assert (found - own).square().mean() < 0.15 * (others - own).square().mean()


def test_measurements_are_searched_apart(seen, generator):
    values, mask = seen.values[:3], seen.mask[:3]
    together = search_latent(generator, values, mask, HIDING, iterations=15)
    one_by_one = search_latent(generator, values, mask, HIDING, iterations=15, batch=1)
    torch.testing.assert_close(together, one_by_one, atol=1e-3, rtol=0)
    torch.testing.assert_close(
        search_latent(generator, values[:1], mask[:1], HIDING, iterations=15), together[:1], atol=1e-3, rtol=0
    )


def test_more_restarts_are_never_worse(seen, generator):
    values, mask = seen.values[:12], seen.mask[:12]

    def misfit(restarts):
        found = search_latent(generator, values, mask, HIDING, restarts=restarts, iterations=25, weight_prior=0)
        return ((mask * (found - values) ** 2).flatten(1).sum(1) / mask.flatten(1).sum(1)).numpy()

    one, three = misfit(1), misfit(3)
    assert (three <= one + 1e-5).all()
    assert three.mean() < one.mean()


def test_the_prior_draws_towards_the_likeliest_latent(seen, generator):
    found = search_latent(generator, seen.values[:2], seen.mask[:2], HIDING, weight_prior=1e4, iterations=150)
    with torch.no_grad():
        likeliest = generator(torch.zeros(2, 8))
    torch.testing.assert_close(found, likeliest, atol=0.05, rtol=0)


def test_the_seed_decides(seen):
    def weights(seed):
        trained = train_ambientgan(*seen, HIDING, latent=4, width=4, batch=4, steps=3, seed=seed)
        return nn.utils.parameters_to_vector(trained.parameters())

    before = torch.random.get_rng_state()
    first = weights(5)
    assert torch.equal(weights(5), first)
    assert not torch.allclose(weights(6), first)
    assert torch.equal(torch.random.get_rng_state(), before)


@dataclass(frozen=True)
class Remembering(RemovePixel):
    """Keeps every theta that it gave."""

    drawn: list = field(default_factory=list)

    def sample(self, shape, *, generator):
        self.drawn.append(super().sample(shape, generator=generator))
        return self.drawn[-1]


def test_theta_is_fresh(seen):
    operator = Remembering(0.7)
    train_ambientgan(*seen, operator, latent=4, width=4, batch=4, steps=5)
    masks = torch.cat([*operator.drawn, seen.mask > 0]).flatten(1)
    assert len(operator.drawn) == 5
    assert len(torch.unique(masks, dim=0)) == len(masks)


def test_what_lies_outside_the_domain_tells_nothing(seen):
    domain = torch.ones(16, 16)
    domain[4:8, 3:] = 0
    inside = seen.mask * domain

    def weights(operator):
        trained = train_ambientgan(
            seen.values * inside, inside, operator, domain=domain, latent=4, width=4, batch=4, steps=2
        )
        return nn.utils.parameters_to_vector(trained.parameters())

    class Bright(RemovePixel):
        def apply(self, x, theta):
            return super().apply(torch.where(domain > 0, x, 50.0), theta)

    assert torch.equal(weights(HIDING), weights(Bright(0.7)))


def fields(operator=HIDING, dtype="float32", **settings):
    """Sea surface of two bands and odd sides, tens of degrees, with land; and what is filled."""
    y, x = np.mgrid[0:13, 0:18]
    maps = 15 + np.sin(y / 4 + np.arange(6)[:, None, None, None]) * np.array([1.0, 30.0])[:, None, None] + 0.1 * x
    maps[np.random.default_rng(0).random(maps.shape) < 0.5] = np.nan
    maps = maps.astype(dtype)
    domain = np.ones((13, 18), bool)
    domain[:4, 5:9] = False
    quick = {"latent": 4, "width": 4, "batch": 4, "steps": 2, "iterations": 5}
    return maps, domain, ambientgan(maps, domain=domain, operator=operator, **quick, **settings)


def test_fields_keep_land_observations_units_and_type():
    maps, domain, filled = fields()
    assert filled.dtype == "float32" and filled.shape == maps.shape
    assert np.isnan(filled[..., ~domain]).all() and np.isfinite(filled[..., domain]).all()
    seen = np.isfinite(maps) & domain
    np.testing.assert_array_equal(filled[seen], maps[seen])
    # Untrained, the images scatter around the mean of each band, in its own unit.
    spread = np.nanstd(filled, (0, 2, 3))
    assert 10 < spread[1] / spread[0] < 40


def test_noisy_measurements_are_not_kept():
    maps, _, filled = fields(ConvolveNoise(l=3, sigma=0.1), dtype="float64")
    both = np.isfinite(maps) & np.isfinite(filled)
    assert (filled[both] != maps[both]).all()


@pytest.mark.parametrize(
    ("size", "coarsest"),
    [
        ((8, 8), (4, 4)),
        ((16, 16), (4, 4)),
        ((32, 32), (4, 4)),
        ((64, 64), (4, 4)),
        ((24, 40), (3, 5)),
        ((9, 30), (4, 8)),
    ],
)
def test_images_of_any_size(size, coarsest):
    network = LatentGenerator(size, channels=2, latent=6, width=4, bounded=True)
    z = torch.randn(3, 6, generator=draw(0))
    images = network(z)
    assert network.coarsest == coarsest
    assert images.shape == (3, 1, 2, *size)
    assert images.abs().max() <= 1
    torch.testing.assert_close(network(z[1:2]), images[1:2])
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in network.modules())


def test_errors(seen, generator):
    with pytest.raises(InputError, match="needs a budget"):
        train_ambientgan(*seen, HIDING)
    with pytest.raises(InputError, match=r"must be \(N, 1, C, H, W\)"):
        train_ambientgan(seen.values[:, 0], seen.mask[:, 0], HIDING, steps=1)
    with pytest.raises(InputError, match="at least 8 cells"):
        train_ambientgan(seen.values[..., :5], seen.mask[..., :5], HIDING, steps=1)
    with pytest.raises(InputError, match="generator's shape"):
        search_latent(generator, seen.values[..., :9], seen.mask[..., :9], HIDING)
    with pytest.raises(InputError, match="restarts, iterations and batch"):
        search_latent(generator, *seen, HIDING, restarts=0)
    with pytest.raises(InputError, match="not finite"):
        train_ambientgan(seen.values * torch.nan, seen.mask, HIDING, latent=4, width=4, steps=1)
    with pytest.raises(InputError, match="values must be"):
        ambientgan(np.zeros((2, 16, 16)), domain=np.ones((16, 16), bool), operator=HIDING, steps=1)
    with pytest.raises(InputError, match="every band needs observations"):
        ambientgan(np.full((2, 1, 16, 16), np.nan), domain=np.ones((16, 16), bool), operator=HIDING, steps=1)
