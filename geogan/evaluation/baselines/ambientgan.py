"""Conditional AmbientGAN: a generator trained on measurements, and a search for the latent of each measurement."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from geogan.compute.threads import side_by_side, torch_threads, workers
from geogan.evaluation.baselines.interface import BaselineInput, DateFiller, filler_from_anomalies
from geogan.model import Model
from geogan.model.networks import Discriminator
from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, dated_generator, each_tensor
from geogan.operators.wording import counted
from geogan.training import prior_discriminator, prior_generator

Progress = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class GeneratorTraining:
    """Settings of the training of a generator.

    Attributes
    ----------
    latent, width, bounded
        Parameters of the :class:`LatentGenerator`; the discriminator has twice the width.
    batch : int
        Measurements in a step, drawn with replacement.
    steps, minutes : optional
        Budget: training ends when either is spent. At least one of them.
    rate_generator, rate_discriminator, betas
        Learning rates and betas of Adam.
    precision : torch.dtype
        Precision of the networks; losses are float32.

    Raises
    ------
    InputError
        If there is no budget.
    """

    latent: int = 128
    width: int = 16
    bounded: bool = False
    batch: int = 32
    steps: int | None = None
    minutes: float | None = None
    rate_generator: float = 2e-4
    rate_discriminator: float = 4e-4
    betas: tuple[float, float] = (0.5, 0.999)
    precision: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise InputError("training needs a budget, got neither steps nor minutes; give steps=5000, for example")


@dataclass(frozen=True)
class LatentSearch:
    """Settings of the search for latents.

    Attributes
    ----------
    restarts, iterations : int
        Number of starts for each measurement, and steps of Adam from each.
    rate : float
        Initial learning rate of Adam.
    weight_prior : float
        Weight of the prior of the latent. ``docs/experiments.md`` compares values.
    batch : int
        Latents searched at a time, over measurements and restarts; the result does not depend on it.
    through_operator : bool
        Whether the measurement is compared with ``F(G(z))`` on the observed cells; else with ``G(z)`` on all cells,
        with 0 in gaps, as in the paper (section 4.3.1). The first is the stronger rival.

    Raises
    ------
    InputError
        If a number is less than 1.
    """

    restarts: int = 3
    iterations: int = 300
    rate: float = 0.1
    weight_prior: float = 0.001
    batch: int = 64
    through_operator: bool = True

    def __post_init__(self) -> None:
        if min(self.restarts, self.iterations, self.batch) < 1:
            raise InputError(
                f"restarts, iterations and batch must be at least 1, got {self.restarts}, {self.iterations} and "
                f"{self.batch}; give 3, 300 and 64"
            )


class LatentGenerator(nn.Module):
    """Generator of an image from a latent vector ``z ~ N(0, I)``.

    A linear layer makes the coarsest map. Residual blocks with nearest-neighbour up-sampling double it until the size
    of the image is reached, without transposed convolutions. Features are normalised over the channels of each cell,
    so that an image depends only on its own latent.

    Sides should be multiples of 8; other sizes are generated up to the next multiple and cropped. The coarsest map is
    found by halving the sides while both are even and more than 4: 4 x 4 for 16, 32 and 64.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image, in cells.
    channels : int
        Number of bands.
    latent : int
        Dimension of z.
    width : int
        Channels at full resolution; twice as many at half resolution, four times as many below.
    bounded : bool
        Whether a tanh keeps values within (-1, 1), the range of images.

    Examples
    --------
    >>> network = LatentGenerator((20, 24), channels=3, latent=16, width=4)
    >>> network(torch.randn(2, 16)).shape
    torch.Size([2, 1, 3, 20, 24])
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        channels: int = 1,
        latent: int = 128,
        width: int = 32,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        if min(*size, channels, latent, width) < 1:
            raise InputError(
                f"size, channels, latent and width must be at least 1, got {size}, {channels}, {latent} and {width}; "
                "give (32, 32), 3, 128 and 32, for example"
            )
        self.size, self.channels, self.latent, self.width, self.bounded = size, channels, latent, width, bounded
        height, breadth = (-side % 8 + side for side in size)
        doublings = 0
        while height % 2 == breadth % 2 == 0 and min(height, breadth) > 4:
            height, breadth, doublings = height // 2, breadth // 2, doublings + 1
        self.coarsest = height, breadth
        widths = [width * min(4, 2**level) for level in reversed(range(doublings + 1))]
        self.enter = nn.Linear(latent, widths[0] * height * breadth)
        self.blocks = nn.Sequential(*map(_UpBlock, widths[:-1], widths[1:]))
        self.leave = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.orthogonal_(self.leave.weight)

    def forward(self, z: Tensor) -> Tensor:
        """Return images, shape (B, 1, C, H, W), of latents of shape (B, latent)."""
        coarse = self.enter(z).unflatten(1, (-1, *self.coarsest))
        fine = self.blocks(coarse.contiguous(memory_format=torch.channels_last))
        x = self.leave(relu(_normalised(fine))).float()
        x = x[:, None, :, : self.size[0], : self.size[1]]
        return x.tanh() if self.bounded else x


class _UpBlock(nn.Module):
    """Residual block that doubles the resolution: the up-sampled input plus two convolutions of it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.past = nn.Conv2d(inputs, outputs, 1)
        for conv in (self.first, self.second, self.past):
            nn.init.orthogonal_(conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        inner = interpolate(relu(_normalised(x)), scale_factor=2, mode="nearest")
        inner = self.second(relu(_normalised(self.first(inner))))
        # The 1 x 1 convolution before the up-sampling gives the same result at a quarter of the cost.
        return inner + interpolate(self.past(x), scale_factor=2, mode="nearest")


def _normalised(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)


def train_ambientgan(
    values: Tensor,
    mask: Tensor,
    operator: Operator,
    training: GeneratorTraining,
    *,
    domain: Tensor | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> LatentGenerator:
    """Train a generator of images from measurements alone (Bora et al., AmbientGAN, 2018).

    Each step measures generated images with a fresh theta, ``F(G(z); theta)``. The discriminator compares
    these measurements and their masks with real ones, by the non-saturating losses of the model's own objective. One
    pass through the generator serves both networks.

    Parameters
    ----------
    values, mask : Tensor, shape (N, 1, C, H, W)
        Measurements, 0 in gaps, and mask (1 = observed).
    operator : Operator
        The fitted measurement process.
    training : GeneratorTraining
    domain : Tensor, shape (H, W), optional
        1 where the quantity exists; other cells are never observed, under any theta. By default every cell.
    seed : int
        Seed of weights, batches, latents, theta and noise.
    device : torch.device, optional
    progress : callable, optional
        Called every 50 steps with the number of steps and the losses.

    Returns
    -------
    LatentGenerator
        Frozen, with the moving average of the weights, on the device.

    Raises
    ------
    InputError
        If the shapes do not fit or a loss is not finite.

    Examples
    --------
    >>> from geogan.operators.pixels import RemovePixel
    >>> values, mask = torch.zeros(4, 1, 1, 16, 16), torch.ones(4, 1, 1, 16, 16)
    >>> short = GeneratorTraining(latent=4, width=4, batch=2, steps=1)
    >>> train_ambientgan(values, mask, RemovePixel(0.5), short)(torch.zeros(1, 4)).shape
    torch.Size([1, 1, 1, 16, 16])
    """
    # Steps between two reports.
    interval = 50
    _check_films(values, mask)
    device = device or torch.device("cpu")
    values, mask = values.float().to(device), mask.float().to(device)
    inside = (torch.ones(values.shape[-2:]) if domain is None else domain).float().to(device)
    trainer = _Trainer(values.shape[2:], operator, inside, training, seed)
    started, step = time.monotonic(), 0
    while (training.steps is None or step < training.steps) and (
        training.minutes is None or time.monotonic() - started < 60 * training.minutes
    ):
        generator_loss, discriminator_loss = trainer.step(values, mask, step)
        step += 1
        if step % interval == 0 or step == training.steps:
            losses = {"generator": float(generator_loss.detach()), "discriminator": float(discriminator_loss.detach())}
            if not all(map(math.isfinite, losses.values())):
                raise InputError(
                    f"training of AmbientGAN stopped at step {step}, where a loss is not finite ({losses}); use lower "
                    "learning rates or float32"
                )
            if progress is not None:
                progress(step, losses)
    return trainer.average


class _Trainer:
    """Generator, discriminator and their optimisers, with the moving average of the generator's weights.

    Parameters
    ----------
    shape : (int, int, int)
        Bands, height and width of an image.
    operator : Operator
    inside : Tensor, shape (H, W)
        1 inside the domain, on the device of the training.
    training : GeneratorTraining
    seed : int
    """

    def __init__(
        self, shape: torch.Size, operator: Operator, inside: Tensor, training: GeneratorTraining, seed: int
    ) -> None:
        self.operator, self.inside, self.training = operator, inside, training
        channels, *size = shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.generator = LatentGenerator(
                (size[0], size[1]),
                channels=channels,
                latent=training.latent,
                width=training.width,
                bounded=training.bounded,
            )
            self.discriminator = Discriminator(frames=1, channels=channels, width=2 * training.width)
        self.generator.to(inside.device)
        self.discriminator.to(inside.device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.generator_optimiser = torch.optim.Adam(
            self.generator.parameters(), lr=training.rate_generator, betas=training.betas
        )
        self.discriminator_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), lr=training.rate_discriminator, betas=training.betas
        )
        self.random = torch.Generator().manual_seed(seed)

    def step(self, values: Tensor, mask: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Train both networks on one batch; return the losses of generator and discriminator."""
        batch, device = self.training.batch, self.inside.device
        cast = torch.autocast(device.type, self.training.precision, enabled=self.training.precision != torch.float32)
        chosen = torch.randint(len(values), (batch,), generator=self.random).to(device)
        z = torch.randn((batch, self.training.latent), generator=self.random).to(device)
        theta = self.operator.sample((batch, *values.shape[1:]), generator=self.random)
        theta = each_tensor(theta, lambda part: part.to(device))
        with cast:
            images = self.generator(z)
        measured = self.operator.apply(images, theta)
        measured = Observation(measured.values * self.inside, measured.mask * self.inside)

        with cast:
            scores = self.discriminator(
                torch.cat([values[chosen], measured.values.detach()]), torch.cat([mask[chosen], measured.mask])
            )
        discriminator_loss = prior_discriminator(scores[:batch], scores[batch:])
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        discriminator_loss.backward()
        self.discriminator_optimiser.step()

        self.discriminator.requires_grad_(False)
        with cast:
            generator_loss = prior_generator(self.discriminator(*measured))
        self.discriminator.requires_grad_(True)
        self.generator_optimiser.zero_grad(set_to_none=True)
        generator_loss.backward()
        self.generator_optimiser.step()
        self._update_average(number)
        return generator_loss, discriminator_loss

    @torch.no_grad()
    def _update_average(self, number: int) -> None:
        # Early averages follow quickly, so that the untrained weights are forgotten.
        decay = min(0.998, (1 + number) / (10 + number))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - decay)


def search_latent(
    generator: LatentGenerator,
    values: Tensor,
    mask: Tensor,
    operator: Operator,
    search: LatentSearch = LatentSearch(),
    *,
    seed: int = 0,
    device: torch.device | None = None,
) -> Tensor:
    """Return the image of the latent that best explains each measurement.

    ``argmin_z |y - F(G(z))|^2 / cells + weight_prior |z|^2 / latent``: the squares are summed over the observed cells
    and divided by their number; F has the mask of the measurement and the blur of the operator. The second term is the
    log prior of the latent. With ``through_operator=False`` the first term is ``|y - G(z)|^2`` over all cells, the
    paper's. Adam starts from ``restarts`` draws of the prior, with a cosine learning rate that falls to zero. The
    result with the least objective is kept for each measurement.

    Parameters
    ----------
    generator : LatentGenerator
    values, mask : Tensor, shape (N, 1, C, H, W)
        Measurements, 0 in gaps, and mask (1 = observed).
    operator : Operator
        The measurement process.
    search : LatentSearch
    seed : int
        Start r of measurement n depends only on ``seed``, n and r.
    device : torch.device, optional

    Returns
    -------
    Tensor, shape (N, 1, C, H, W)
        ``G(z)``, on the device; observed values are not put back.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> from geogan.operators.pixels import RemovePixel
    >>> generator = LatentGenerator((16, 16), latent=4, width=4)
    >>> y, mask = torch.zeros(2, 1, 1, 16, 16), torch.ones(2, 1, 1, 16, 16)
    >>> search_latent(generator, y, mask, RemovePixel(0.5), LatentSearch(iterations=2)).shape
    torch.Size([2, 1, 1, 16, 16])
    """
    _check_films(values, mask)
    if values.shape[2:] != (generator.channels, *generator.size):
        raise InputError(
            f"measurements must have the generator's shape (C, H, W) = {(generator.channels, *generator.size)}, got "
            f"{tuple(values.shape[2:])}; train a generator on such measurements"
        )
    device = device or torch.device("cpu")
    frozen = copy.deepcopy(generator).requires_grad_(False).to(device)
    starts = [(n, r) for n in range(len(values)) for r in range(search.restarts)]
    scores, images = [], []
    for first in range(0, len(starts), search.batch):
        part = starts[first : first + search.batch]
        z = torch.cat([torch.randn((1, generator.latent), generator=dated_generator(seed, n, r)) for n, r in part])
        numbers = torch.tensor([n for n, _ in part])
        y, observed = values[numbers].float().to(device), mask[numbers].float().to(device)
        score, image = _descend(frozen, z.to(device), y, observed, operator, search)
        scores.append(score)
        images.append(image)
    if not starts:
        return values.new_zeros(values.shape)
    best = torch.cat(scores).view(-1, search.restarts).argmin(1)
    candidates = torch.cat(images).unflatten(0, (-1, search.restarts))
    return candidates[torch.arange(len(candidates), device=device), best]


def _descend(
    generator: LatentGenerator, z: Tensor, y: Tensor, mask: Tensor, operator: Operator, search: LatentSearch
) -> tuple[Tensor, Tensor]:
    """Return objectives (B,) and images (B, 1, C, H, W) at the end of the descent from each ``z``."""
    z = z.requires_grad_()
    if not search.through_operator:
        mask = torch.ones_like(mask)
    cells = mask.flatten(1).sum(1).clamp_min(1)

    def evaluate() -> tuple[Tensor, Tensor]:
        image = generator(z)
        measured = operator.blur(image) if search.through_operator else image
        misfit = (mask * (measured - y).square()).flatten(1).sum(1) / cells
        return misfit + search.weight_prior * z.square().mean(1), image

    optimiser = torch.optim.Adam([z], lr=search.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, search.iterations)
    for _ in range(search.iterations):
        optimiser.zero_grad(set_to_none=True)
        # The gradient of the sum is the gradient of each latent, so that Adam treats them separately.
        evaluate()[0].sum().backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return evaluate()


def prepare(
    given: BaselineInput, training: GeneratorTraining | None = None, search: LatentSearch = LatentSearch()
) -> DateFiller:
    """Train on the whole record, by default for as long as the model, and search the latents of the dates to score."""
    archive, model = given.archive, given.model
    film = archive.read(slice(None))
    values, mask = (film.values * film.mask)[:, None], film.mask[:, None]
    training = replace(training or training_like(model), bounded=archive.is_image)
    seconds = _seconds(model)
    given.message(
        f"training ambientgan on {counted(len(archive.days), given.entry)} for {seconds:.0f} s, then searching the "
        f"latents of {len(given.dates)}"
    )
    # The duration of the search is not known in advance: the progress bar gives it as much as the training.
    total, began = 2 * seconds, time.perf_counter()
    with torch_threads(given.threads or max(1, workers(None) - 1)):
        generator = train_ambientgan(
            values,
            mask,
            model.operator,
            training,
            domain=film.domain,
            device=given.device,
            progress=lambda step, losses: given.progress(min(seconds, time.perf_counter() - began), total),
        )

    def search_some(rows: slice) -> np.ndarray:
        dates = given.dates[rows]
        found = search_latent(
            generator, values[dates], mask[dates], model.operator, search, seed=int(dates[0]), device=given.device
        )
        return found[:, 0].cpu().numpy()

    def anomalies() -> Iterator[tuple[slice, np.ndarray]]:
        # Dates whose latents are searched together, so that several groups run side by side.
        count, together = len(given.dates), 8
        groups = [slice(start, min(start + together, count)) for start in range(0, count, together)]
        for rows, found in zip(groups, side_by_side(search_some, groups, threads=given.threads)):
            yield rows, found
            given.progress(seconds + seconds * rows.stop / count, total)

    return filler_from_anomalies(given, anomalies())


def training_like(model: Model) -> GeneratorTraining:
    """Return the settings of a training that takes as long as a model's did, in its precision."""
    return GeneratorTraining(minutes=_seconds(model) / 60, precision=getattr(torch, model.precision))


def _seconds(model: Model) -> float:
    """Return the duration of a model's training, at least one second."""
    return max(1.0, float(model.scores.get("seconds") or 0.0))


def _check_films(values: Tensor, mask: Tensor) -> None:
    if values.ndim != 5 or values.shape[1] != 1 or mask.shape != values.shape:
        raise InputError(
            f"values and mask must be (N, 1, C, H, W), got {tuple(values.shape)} and {tuple(mask.shape)}; "
            "give single frames, each with its mask"
        )
    if min(values.shape[-2:]) < 8:
        raise InputError(
            f"images must have at least 8 cells along each side, got {tuple(values.shape[-2:])}; give larger ones"
        )
