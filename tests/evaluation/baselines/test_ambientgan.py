"""AmbientGAN learns a family of images from their measurements, and finds the image of each measurement."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from geogan.evaluation.baselines.ambientgan import (
    GeneratorTraining,
    LatentGenerator,
    LatentSearch,
    search_latent,
    train_ambientgan,
)
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.pixels import RemovePixel

HIDING = RemovePixel(0.7)
TINY = {"latent": 4, "width": 4, "batch": 4}


def draw(seed):
    return torch.Generator().manual_seed(seed)


def blobs(count, seed=0):
    """Return bright spots at random places, a family with two parameters: (count, 1, 1, 16, 16), in [-1, 1]."""
    row, column = 3 + 9 * torch.rand((2, count, 1, 1, 1, 1), generator=draw(seed))
    y, x = torch.arange(16.0)[:, None], torch.arange(16.0)
    return 2 * torch.exp(-((y - row) ** 2 + (x - column) ** 2) / 12.5) - 1


@pytest.fixture(scope="module")
def truth():
    return blobs(300)


@pytest.fixture(scope="module")
def measurements(truth):
    return HIDING.apply(truth, HIDING.sample(tuple(truth.shape), generator=draw(9)))


@pytest.fixture(scope="module")
def generator(measurements):
    training = GeneratorTraining(latent=8, width=8, batch=16, steps=250, bounded=True)
    return train_ambientgan(*measurements, HIDING, training)


def test_the_error_in_gaps_is_less_than_that_of_the_mean_image(truth, measurements, generator):
    found = search_latent(
        generator, measurements.values[:20], measurements.mask[:20], HIDING, LatentSearch(iterations=100)
    )
    mean = measurements.values.sum(0) / measurements.mask.sum(0)
    hidden = 1 - measurements.mask[:20]
    error, of_mean = ((hidden * (guess - truth[:20]) ** 2).sum() / hidden.sum() for guess in (found, mean))
    assert error < 0.7 * of_mean


def test_the_papers_search_takes_the_zeros_of_gaps_for_values(measurements, generator):
    """It finds the image nearest to y with its zeros; the search through F the one nearest on the observed cells."""
    values, mask = measurements.values[:20], measurements.mask[:20]
    searches = [LatentSearch(iterations=100, weight_prior=0, through_operator=through) for through in (False, True)]
    papers, through_f = (search_latent(generator, values, mask, HIDING, search) for search in searches)

    def distance(found, where):
        return float((where * (found - values) ** 2).sum() / where.sum())

    everywhere = torch.ones_like(mask)
    assert distance(papers, everywhere) < distance(through_f, everywhere)
    assert distance(through_f, mask) < distance(papers, mask)


@pytest.mark.parametrize("operator", [HIDING, ConvolveNoise(l=5, sigma=0.05)], ids=["hidden", "blurred"])
def test_a_generated_image_is_found_again(generator, operator):
    with torch.no_grad():
        own = generator(torch.randn(6, 8, generator=draw(1)))
        others = generator(torch.randn(6, 8, generator=draw(2)))
    measured = operator.apply(own, operator.sample(tuple(own.shape), generator=draw(3)))
    found = search_latent(generator, *measured, operator, LatentSearch(weight_prior=1e-4, iterations=150))
    # Occasionally all three starts end in a local minimum.
    assert (found - own).square().mean() < 0.15 * (others - own).square().mean()


def test_measurements_are_searched_independently(measurements, generator):
    values, mask = measurements.values[:3], measurements.mask[:3]
    short = LatentSearch(iterations=15)
    together = search_latent(generator, values, mask, HIDING, short)
    one_by_one = search_latent(generator, values, mask, HIDING, LatentSearch(iterations=15, batch=1))
    torch.testing.assert_close(together, one_by_one, atol=1e-3, rtol=0)
    torch.testing.assert_close(
        search_latent(generator, values[:1], mask[:1], HIDING, short), together[:1], atol=1e-3, rtol=0
    )


def test_more_restarts_are_never_worse(measurements, generator):
    values, mask = measurements.values[:12], measurements.mask[:12]

    def misfit(restarts):
        search = LatentSearch(restarts=restarts, iterations=25, weight_prior=0)
        found = search_latent(generator, values, mask, HIDING, search)
        return ((mask * (found - values) ** 2).flatten(1).sum(1) / mask.flatten(1).sum(1)).numpy()

    one, three = misfit(1), misfit(3)
    assert (three <= one + 1e-5).all()
    assert three.mean() < one.mean()


def test_a_strong_prior_gives_the_most_probable_latent(measurements, generator):
    found = search_latent(
        generator,
        measurements.values[:2],
        measurements.mask[:2],
        HIDING,
        LatentSearch(weight_prior=1e4, iterations=150),
    )
    with torch.no_grad():
        most_probable = generator(torch.zeros(2, 8))
    torch.testing.assert_close(found, most_probable, atol=0.05, rtol=0)


def test_the_seed_decides(measurements):
    def weights(seed):
        trained = train_ambientgan(*measurements, HIDING, GeneratorTraining(steps=3, **TINY), seed=seed)
        return nn.utils.parameters_to_vector(trained.parameters())

    before = torch.random.get_rng_state()
    first = weights(5)
    assert torch.equal(weights(5), first)
    assert not torch.allclose(weights(6), first)
    assert torch.equal(torch.random.get_rng_state(), before)


@dataclass(frozen=True)
class Recording(RemovePixel):
    """Record every theta that was sampled."""

    drawn: list = field(default_factory=list)

    def sample(self, shape, *, generator):
        self.drawn.append(super().sample(shape, generator=generator))
        return self.drawn[-1]


def test_every_step_samples_a_new_theta(measurements):
    operator = Recording(0.7)
    train_ambientgan(*measurements, operator, GeneratorTraining(steps=5, **TINY))
    masks = torch.cat([*operator.drawn, measurements.mask > 0]).flatten(1)
    assert len(operator.drawn) == 5
    assert len(torch.unique(masks, dim=0)) == len(masks)


def test_values_outside_the_domain_are_ignored(measurements):
    domain = torch.ones(16, 16)
    domain[4:8, 3:] = 0
    inside = measurements.mask * domain

    def weights(operator):
        training = GeneratorTraining(steps=2, **TINY)
        trained = train_ambientgan(measurements.values * inside, inside, operator, training, domain=domain)
        return nn.utils.parameters_to_vector(trained.parameters())

    class Bright(RemovePixel):
        def apply(self, x, theta):
            return super().apply(torch.where(domain > 0, x, 50.0), theta)

    assert torch.equal(weights(HIDING), weights(Bright(0.7)))


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


def test_errors(measurements, generator):
    one_step = GeneratorTraining(steps=1, **TINY)
    with pytest.raises(InputError, match="needs a budget"):
        GeneratorTraining()
    with pytest.raises(InputError, match=r"must be \(N, 1, C, H, W\)"):
        train_ambientgan(measurements.values[:, 0], measurements.mask[:, 0], HIDING, one_step)
    with pytest.raises(InputError, match="at least 8 cells"):
        train_ambientgan(measurements.values[..., :5], measurements.mask[..., :5], HIDING, one_step)
    with pytest.raises(InputError, match="generator's shape"):
        search_latent(generator, measurements.values[..., :9], measurements.mask[..., :9], HIDING)
    with pytest.raises(InputError, match="restarts, iterations and batch"):
        LatentSearch(restarts=0)
    with pytest.raises(InputError, match="not finite"):
        train_ambientgan(measurements.values * torch.nan, measurements.mask, HIDING, one_step)
