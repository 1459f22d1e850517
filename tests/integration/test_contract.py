"""The method's contract for one operator of each kind, and its error against the Bayes limit."""

import copy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from small_training import PLAIN, weights
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, logsigmoid

from geogan.model.networks import Discriminator, UNet
from geogan.operators import OPERATORS
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.operator import Observation, Operator, Theta
from geogan.operators.within import applied_within, blurred_within
from geogan.prior import Film, GaussianPrior
from geogan.settings import Objective, TrainConfig
from geogan.training import objective
from geogan.training.recorruption import RECORRUPTION
from geogan.training.state import TrainState
from geogan.training.step import Problem, train_step

FRAMES, BANDS, CROP = 3, 2, (12, 16)
# A good part is seen and a good part hidden, on so small a crop.
SETTINGS: dict[str, dict[str, Any]] = {
    "cloud_mask": {"coverage": 0.5, "scale": 4.0},
    "remove_pixel_channel": {"p": 0.5},
    "footprint": {"fwhm": 3.0},
    "downsample": {"factor": 1, "columns": 2},
    "convolve_noise": {"l": 3, "sigma": 0.3},
}


def built(name: str) -> Operator:
    seen = np.random.default_rng(3).random((12, *CROP)) > 0.4
    return OPERATORS[name](**SETTINGS.get(name, {})).fitted(seen, np.ones(CROP, bool))


# One operator of each kind: gaps of all bands, of each band, borrowed ones, a blur, a coarse sensor, noise. Tracks,
# swaths and others differ from clouds in the shape of their gaps alone.
KINDS = ("cloud_mask", "remove_pixel_channel", "observed_gaps", "footprint", "downsample", "convolve_noise")
every = pytest.mark.parametrize("name", KINDS)
# The identity keeps a measurement unless it is blurred again.
hiding = pytest.mark.parametrize("name", [name for name in KINDS if built(name).masks and built(name).exact])


class Case(NamedTuple):
    """Measurements of known fields."""

    clean: Tensor
    theta: Theta  # what measured them
    windows: Film


def case_of(operator: Operator, seed: int = 0, batch: int = 4) -> Case:
    random = torch.Generator().manual_seed(seed)
    shape = (batch, FRAMES, BANDS, *CROP)
    domain = torch.ones(batch, 1, 1, *CROP)
    domain[..., :3, :5] = 0
    rough = torch.randn(batch, FRAMES * BANDS, CROP[0] + 4, CROP[1] + 4, generator=random)
    clean = 4 * avg_pool2d(rough, 5, 1).view(shape)
    theta = operator.sample(shape, generator=random)
    y, mask = inside(operator.apply(clean, theta), domain)
    kept, noise = mask, None
    if operator.masks:
        kept = mask * operator.apply(mask, operator.sample(shape, generator=random)).mask
    elif operator.noise:
        noise = operator.noise * torch.randn(shape, generator=random) * mask
    days = torch.arange(FRAMES, dtype=torch.float64).expand(batch, -1)
    zeros = torch.zeros(shape)
    return Case(clean, theta, Film(values=y, mask=mask, kept=kept, guess=zeros, domain=domain, days=days, noise=noise))


def inside(seen: Observation, domain: Tensor) -> Observation:
    return Observation(seen.values * domain, seen.mask * domain)


def state_of(generator: nn.Module | None = None, *, rate: float = 1e-3, seed: int = 0) -> TrainState:
    torch.manual_seed(seed)
    network = UNet(frames=FRAMES, channels=BANDS, width=4)
    nn.init.normal_(network.leave.weight, std=0.1)
    nn.init.normal_(network.leave.bias, std=1.0)  # it speaks where nothing was seen
    return TrainState.start(
        generator or network,  # type: ignore[arg-type]
        Discriminator(frames=FRAMES, channels=BANDS, width=16),
        rate_generator=rate,
        rate_discriminator=rate,
        betas=(0.0, 0.9),
        seed=seed,
    )


class Says(nn.Module):
    """A generator that returns a fixed function of its input, by default the input."""

    def __init__(self, answer: Tensor | None = None) -> None:
        super().__init__()
        self.answer, self.idle = answer, nn.Parameter(torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, values, mask, guess, domain, extra=None):
        return (values * mask if self.answer is None else self.answer) + 0 * self.idle


class Spied:
    """An operator that records its draws and measurements; theta may be given."""

    def __init__(self, operator: Operator, theta: Theta | None = None) -> None:
        self.operator, self.theta = operator, theta
        self.drawn: list[Theta] = []
        self.measured: list[tuple[Tensor, Theta]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.operator, name)

    def sample(self, shape, *, generator):
        self.drawn.append(self.operator.sample(shape, generator=generator) if self.theta is None else self.theta)
        return self.drawn[-1]

    def apply(self, x, theta):
        self.measured.append((x.detach().clone(), theta))
        return self.operator.apply(x, theta)


def noted(network: nn.Module) -> list[tuple[list[Tensor], Tensor]]:
    """Record the inputs and outputs of a network from now on."""
    notes: list[tuple[list[Tensor], Tensor]] = []

    def note(_, given, said):
        notes.append(([part.detach().clone() for part in given], said.detach().clone()))

    network.register_forward_hook(note)
    return notes


def step(state: TrainState, windows: Film, operator: Any, objective: Objective, **config: Any) -> dict[str, Tensor]:
    return train_step(state, windows, Problem(operator), objective, TrainConfig(**PLAIN | config))


# Theta is fresh.


@hiding
def test_the_identity_predicts_nothing_that_is_hidden(name):
    """Its withheld error is that of zeros, to the last bit; that of the true field is 0."""
    operator = built(name)
    clean, _, windows = case_of(operator)
    hidden = (windows.mask - windows.kept) * objective.confidence(windows.kept)
    assert hidden.any()
    zeros = objective.withheld(torch.zeros_like(clean), windows.values, hidden)
    alone = weights(0.0, 0.0, 1.0)
    assert torch.equal(step(state_of(Says()), windows, operator, alone)["withheld"], zeros)
    assert float(zeros) > 0.1
    assert float(step(state_of(Says(clean)), windows, operator, alone)["withheld"]) == 0


@hiding
def test_a_fresh_theta_betrays_the_identity_and_a_shared_one_hides_it(name):
    """The identity has likelihood 0 under any theta; only D detects it, by zeros seen through other gaps."""
    operator, paper = built(name), weights(1.0, 2.0, 0.0)
    cases = [case_of(operator, seed, 16) for seed in range(5)]
    last: dict[bool, np.ndarray] = {}
    for shared in (False, True):
        # Another seed than those of the cases, so that theta is never drawn from the numbers that made a case.
        state = state_of(Says(), rate=4e-3, seed=99)
        judged, course = noted(state.discriminator), []
        for number in range(10 if shared else 50):
            _, theta, windows = cases[number % len(cases)]
            losses = step(state, windows, Spied(operator, theta if shared else None), paper)
            course.append([float(losses["discriminator"]), float(losses["prior"])])
            (both, masks), _ = judged[0]
            (y, y_hat), (mask, mask_hat) = both.chunk(2), masks.chunk(2)
            assert float(losses["likelihood"]) == 0
            assert torch.equal(y, windows.values) and torch.equal(mask, windows.mask)
            assert shared == (torch.equal(y_hat, y) and torch.equal(mask_hat, mask))
            if not shared:
                assert ((y_hat == 0) & (mask_hat == 1)).any() and not ((y == 0) & (mask == 1)).any()
            judged.clear()
        last[shared] = np.mean(course[-10:], 0)
    # Of two things that are the same D can say nothing: 2 log 2 is the least it can lose.
    assert last[True][0] >= 2 * np.log(2) - 1e-6 and last[False][0] < 1.25
    assert last[False][1] > 0.8 > np.log(2)


def test_where_nothing_is_hidden_fresh_noise_betrays_the_identity():
    """Blurring again changes the identity's output, and under another noise its error exceeds the truth's."""
    operator = built("convolve_noise")
    clean, _, windows = case_of(operator, batch=16)
    losses = step(state_of(Says()), windows, operator, weights(1.0, 2.0, 0.0))
    assert float(losses["likelihood"]) > 0.1 * operator.noise**2
    identity, truth = (
        float(step(state_of(says), windows, operator, weights(0.0, 0.0, 1.0))["withheld"])
        for says in (Says(), Says(clean))
    )
    # Of the truth, the noises alone are left: those of y and of what is asked for, in units of one.
    assert truth == pytest.approx(1 + 1 / RECORRUPTION**2, rel=0.05)
    assert identity > 1.05 * truth


# D sees measurements, and one theta makes y_hat and measures its reconstruction.


@every
@pytest.mark.parametrize("weights", [weights(1.0, 2.0, 0.0), weights(0.5, 1.0, 1.0)], ids=["paper", "withheld"])
def test_one_theta_measures_x_hat_and_its_reconstruction_and_d_sees_nothing_else(name, weights):
    operator, windows = Spied(built(name)), case_of(built(name)).windows
    state = state_of()
    judged, reconstructed = noted(state.discriminator), noted(state.generator)
    for _ in range(2):
        notes: tuple[list[Any], ...] = (judged, reconstructed, operator.drawn, operator.measured)
        for each in notes:
            each.clear()
        random = torch.Generator()
        random.set_state(state.random.get_state())
        step(state, windows, operator, weights)
        (theta,), ((_, x_hat), (given, twice)) = operator.drawn, reconstructed
        assert [used is theta for _, used in operator.measured] == [True, True]
        assert torch.equal(operator.measured[0][0], x_hat) and torch.equal(operator.measured[1][0], twice)
        # The draw of theta, its noise included, and nothing else.
        built(name).sample(tuple(x_hat.shape), generator=random)
        assert torch.equal(random.get_state(), state.random.get_state())
        y_hat, mask_hat = inside(applied_within(built(name), x_hat, theta, windows.domain), windows.domain)
        assert torch.equal(given[0], y_hat) and torch.equal(given[1], mask_hat)
        ((both, masks), _), (again, _) = judged
        assert torch.equal(both, torch.cat([windows.values, y_hat]))
        assert torch.equal(masks, torch.cat([windows.mask, mask_hat]))
        assert torch.equal(again[0], y_hat) and torch.equal(again[1], mask_hat)
        assert not both[masks == 0].any() and not torch.equal(y_hat, x_hat)
        assert bool((x_hat[windows.domain > mask_hat] != 0).any()) == operator.masks


# Weights of 0.


@every
def test_without_the_prior_term_d_is_neither_asked_nor_changed(name):
    operator, state = built(name), state_of()
    before, judged = copy.deepcopy(state.discriminator.state_dict()), noted(state.discriminator)
    for seed in range(2):
        step(state, case_of(operator, seed).windows, operator, weights(0.0, 1.0, 1.0))
    assert not judged
    assert all(torch.equal(now, before[part]) for part, now in state.discriminator.state_dict().items())


@every
def test_without_the_likelihood_term_nothing_is_reconstructed_twice(name):
    operator, state = Spied(built(name)), state_of()
    reconstructed = noted(state.generator)
    for seed in range(2):
        step(state, case_of(built(name), seed).windows, operator, weights(1.0, 0.0, 1.0))
    assert len(reconstructed) == len(operator.measured) == 2


@every
@pytest.mark.parametrize("withheld", [0.0, 1.0])
def test_without_the_withheld_term_all_of_y_is_shown(name, withheld):
    operator, state = built(name), state_of()
    windows = case_of(operator).windows
    reconstructed = noted(state.generator)
    step(state, replace(windows, noise=windows.noise if withheld else None), operator, weights(1.0, 2.0, withheld))
    (values, mask, _, _), _ = reconstructed[0]
    shown = windows.kept if withheld else windows.mask
    disturbed = torch.zeros(()) if windows.noise is None or not withheld else RECORRUPTION * windows.noise
    assert torch.equal(mask, shown) and torch.equal(values, (windows.values + disturbed) * shown)


@every
@pytest.mark.parametrize("term", ["prior", "likelihood", "withheld", "paired"])
def test_the_gradient_of_one_weight_is_that_of_its_term(name, term):
    """The reference is the term written out by hand, differentiated by autograd."""
    operator, state = built(name), state_of(rate=0.0)
    state.discriminator.eval()  # its singular vectors stay
    clean, _, windows = case_of(operator)
    windows = replace(windows, clean=clean if term == "paired" else None)
    y, mask, kept, domain, noise = windows.values, windows.mask, windows.kept, windows.domain, windows.noise
    if term != "withheld":
        windows = replace(windows, noise=None)
    generator, random = copy.deepcopy(state.generator), torch.Generator().manual_seed(0)
    alone = {"weight_prior": 0.0, "weight_likelihood": 0.0, "weight_withheld": 0.0} | {f"weight_{term}": 0.7}
    step(state, windows, operator, Objective(**alone))

    def g(values: Tensor, shown: Tensor) -> Tensor:
        return generator(values, shown, torch.zeros_like(values), domain)

    if term == "withheld" and not operator.masks and noise is None:
        return  # neither a gap nor noise: nothing can be withheld
    if term == "withheld" and operator.masks:
        weight = (mask - kept) * objective.confidence(kept)
        loss = (weight * (blurred_within(operator, g(y * kept, kept), domain) - y) ** 2).sum() / weight.sum()
    elif term == "withheld":
        assert noise is not None
        asked = y - noise / RECORRUPTION
        difference = blurred_within(operator, g(y + RECORRUPTION * noise, mask), domain) - asked
        loss = (mask * (difference / operator.noise) ** 2).sum() / mask.sum()
    elif term == "paired":
        loss = (domain * (g(y, mask) - clean) ** 2).sum() / (domain.sum() * FRAMES * BANDS)
    else:
        theta = operator.sample(tuple(y.shape), generator=random)
        y_hat, mask_hat = inside(applied_within(operator, g(y, mask), theta, domain), domain)
        if term == "prior":
            loss = -logsigmoid(state.discriminator(y_hat, mask_hat)).mean()
        else:
            again = applied_within(operator, g(y_hat, mask_hat), theta, domain).values
            loss = (mask_hat * (y_hat - again) ** 2).sum() / mask_hat.sum()
    (0.7 * loss).backward()
    pairs = [(a.grad, b.grad) for a, b in zip(state.generator.parameters(), generator.parameters(), strict=True)]
    assert any(ours is not None and bool(ours.any()) for ours, _ in pairs)
    for ours, by_hand in pairs:
        torch.testing.assert_close(ours, by_hand, rtol=1e-3, atol=1e-5)


# Noise that is a part of theta, and noise that is added again.


def draw(random: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=random, dtype=torch.float64)


def linear(taps: Tensor, values: Tensor) -> Tensor:
    """Return the linear estimate ``a y + b (mean of the cells around)``."""
    around = avg_pool2d(values.flatten(0, 2), 5, 1, 2, count_include_pad=False).view(values.shape)
    return taps[0] * values + taps[1] * around


def minimiser(loss) -> Tensor:
    """Return the minimiser of a quadratic by one Newton step, which is exact."""
    start = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(start), start)
    return -torch.linalg.solve(torch.autograd.functional.hessian(loss, start), gradient)


def test_noise_as_theta_teaches_to_denoise_and_noise_in_y_hat_alone_to_keep_it():
    """Minimisers of the likelihood term over linear estimates, for fields as good as the truth."""
    operator, random = ConvolveNoise(l=3, sigma=0.8), torch.Generator().manual_seed(0)
    x = 2 * avg_pool2d(draw(random, 600, 1, 14, 18), 3, 1)[:, None]
    theta = operator.sample(tuple(x.shape), generator=random)
    y_hat = operator.apply(x, theta).values

    def likelihood(theta: Theta):
        return lambda taps: (y_hat - operator.apply(linear(taps, y_hat), theta).values).square().mean()

    def error(taps: Tensor) -> float:
        return float((linear(taps, y_hat) - x).square().mean())

    as_theta, in_y_hat_alone = error(minimiser(likelihood(theta))), error(minimiser(likelihood(())))
    itself = float((y_hat - x).square().mean())
    assert as_theta < 0.6 * itself < itself < in_y_hat_alone


def test_recorrupted_is_as_good_as_the_truth_and_the_plain_square_is_not():
    """Minimisers of the linear estimator ``a y + b (mean of the cells around)`` on 24 independent samples."""
    operator, alpha = ConvolveNoise(l=3, sigma=0.8), RECORRUPTION
    random = torch.Generator().manual_seed(0)
    found: dict[str, list[Tensor]] = {"truth": [], "recorrupted": [], "plain": [], "itself": []}
    for _ in range(24):
        x = 2 * avg_pool2d(draw(random, 60, 1, 14, 18), 3, 1)[:, None]
        measured = operator.blur(x)
        y = measured + operator.noise * draw(random, *x.shape)
        n = operator.noise * draw(random, *x.shape)
        mask = (draw(random, *x.shape) > -0.5).double()
        shown, asked = y + alpha * n, y - n / alpha

        def through(target: Tensor, given: Tensor, mask: Tensor = mask):
            return lambda taps: objective.recorrupted(operator.blur(linear(taps, given)), target, mask, operator.noise)

        found["truth"].append(minimiser(through(measured, shown)))
        found["recorrupted"].append(minimiser(through(asked, shown)))
        found["plain"].append(minimiser(through(y, shown)))
        found["itself"].append(minimiser(through(y, y)))
    taps = {name: torch.stack(each) for name, each in found.items()}

    def apart(name: str) -> Tensor:
        """Return the difference from the minimiser of the clean error, in standard errors."""
        difference = taps[name] - taps["truth"]
        return (difference.mean(0) / (difference.std(0) / len(difference) ** 0.5)).abs().max()

    assert apart("recorrupted") < 3.5 and apart("plain") > 30 and apart("itself") > 30


# How near to the limit.


def test_error_over_the_bayes_limit_falls_with_training_and_stays_above_one():
    """Gaussian fields, half of them under clouds, no first guess; the limit is kriging with the true covariance."""
    truth = GaussianPrior(length=10.0, noise=0.1)
    operator = Compose((ConvolveNoise(l=1, sigma=truth.noise), CloudMask(coverage=0.5, spread=0.1, scale=2.0)))
    random, size = torch.Generator().manual_seed(0), 16
    everywhere, day = torch.ones(size, size), torch.zeros(1, dtype=torch.float64)

    def measured(count: int) -> tuple[Tensor, Observation, Tensor]:
        shape = (count, 1, 1, size, size)
        none = torch.zeros(shape)
        fields = truth.sample(none, none, everywhere, day, generator=random)
        seen = operator.apply(fields, operator.sample(shape, generator=random))
        return fields, seen, seen.mask * operator.apply(none, operator.sample(shape, generator=random)).mask

    fields, (y, mask), _ = measured(256)
    hidden = 1 - mask

    def error(reconstruction: Tensor) -> float:
        return float((hidden * (reconstruction - fields) ** 2).sum() / hidden.sum()) ** 0.5

    limit = error(truth.map(y, mask, everywhere, day, tolerance=1e-5))
    torch.manual_seed(0)
    state = TrainState.start(
        UNet(frames=1, width=8),
        Discriminator(frames=1, width=8),
        rate_generator=4e-3,
        rate_discriminator=4e-4,
        betas=(0.5, 0.999),
        seed=0,
    )

    def ratio() -> float:
        with torch.no_grad():
            domain = everywhere.expand(len(y), 1, 1, size, size)
            return error(state.average(y, mask, torch.zeros_like(y), domain)) / limit

    _, (values, shown), kept = measured(512)
    ratios = [ratio()]
    for steps in (50, 150):
        for _ in range(steps):
            some = torch.randint(len(values), (16,), generator=random)
            parts = [part[some] for part in (values, shown, kept)]
            domain, days = everywhere.expand(16, 1, 1, size, size), day.expand(16, 1)
            windows = Film(
                values=parts[0],
                mask=parts[1],
                kept=parts[2],
                guess=torch.zeros_like(parts[0]),
                domain=domain,
                days=days,
            )
            step(state, windows, operator, weights(0.02, 0.1, 1.0, every=8), averaging=0.98)
        ratios.append(ratio())
    print("error / Bayes limit after 0, 50 and 200 steps:", *(f"{each:.3f}" for each in ratios))  # noqa: T201
    assert ratios[0] > ratios[1] > ratios[2] > 0.99
