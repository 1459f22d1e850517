"""Gaps filled with the likeliest image of a generator that was trained on measurements: Conditional AmbientGAN."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from geogan.model.networks import Discriminator
from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, add_noise, dated_generator
from geogan.training import objective
from geogan.training.supply import each_tensor

# Decay of the moving average of the generator's weights.
AVERAGING = 0.998
# Steps from one report to the next.
REPORT = 50

Progress = Callable[[int, dict[str, float]], None]


class LatentGenerator(nn.Module):
    """An image of a latent vector ``z ~ N(0, I)``.

    A linear layer gives the coarsest map; residual blocks with nearest up-sampling double it until the image is
    reached: no transposed convolution. Features are normalised cell by cell over their channels, so that an image
    depends on its own latent alone.

    Sides are best multiples of 8; others are generated up to the next multiple and cropped. The coarsest map is what
    is left of the sides after halving while both are even and more than 4: 4 x 4 for 16, 32 and 64.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image, in cells.
    channels : int
        Bands.
    latent : int
        Dimensions of z.
    width : int
        Channels at full resolution; two and four times as many at half resolution and below.
    bounded : bool
        Whether values are kept within (-1, 1) by a tanh, as those of images are.

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
                "give (32, 32), 3, 128 and 32, say"
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
        """Images, shape (B, 1, C, H, W), of latents of shape (B, latent)."""
        coarse = self.enter(z).unflatten(1, (-1, *self.coarsest))
        fine = self.blocks(coarse.contiguous(memory_format=torch.channels_last))
        x = self.leave(relu(_normalised(fine))).float()
        x = x[:, None, :, : self.size[0], : self.size[1]]
        return x.tanh() if self.bounded else x


class _UpBlock(nn.Module):
    """``up(x)`` plus two convolutions of it, twice as fine."""

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
        # The 1 x 1 convolution before the up-sampling: the same numbers, a quarter of the work.
        return inner + interpolate(self.past(x), scale_factor=2, mode="nearest")


def _normalised(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)


def train_ambientgan(
    values: Tensor,
    mask: Tensor,
    operator: Operator,
    *,
    domain: Tensor | None = None,
    latent: int = 128,
    width: int = 16,
    bounded: bool = False,
    batch: int = 32,
    steps: int | None = None,
    minutes: float | None = None,
    rate_generator: float = 2e-4,
    rate_discriminator: float = 4e-4,
    betas: tuple[float, float] = (0.5, 0.999),
    seed: int = 0,
    precision: torch.dtype = torch.float32,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> LatentGenerator:
    """Train a generator of images of which measurements alone were ever seen (Bora et al., AmbientGAN, 2018).

    In each step a fresh theta measures generated images, ``F(G(z); theta) + epsilon``, and the discriminator compares
    these and their masks with real measurements and theirs; the losses are the non-saturating ones of
    :mod:`geogan.training.objective`. One pass through the generator serves both networks.

    With 32 x 32 cells of three bands and batches of 32 one core makes 12 steps a second for a width of 16 (19 in
    bfloat16), 26 for 8 and 5 for 32.

    Parameters
    ----------
    values, mask : Tensor, shape (N, 1, C, H, W)
        Measurements, 0 in gaps, and where they are observed (1).
    operator : Operator
        The measurement process, fitted.
    domain : Tensor, shape (H, W), optional
        1 where the quantity exists; nothing is observed elsewhere, under any theta. By default everywhere.
    latent, width, bounded
        Of the :class:`LatentGenerator`; the discriminator has twice the width.
    batch : int
        Measurements in a step, drawn with replacement.
    steps, minutes : optional
        The budget: whichever is spent first. At least one of them.
    rate_generator, rate_discriminator, betas
        Of Adam.
    seed : int
        Of weights, batches, latents, theta and noise.
    precision : torch.dtype
        Of the networks' arithmetic; losses are float32.
    device : torch.device, optional
    progress : callable, optional
        Called now and then with the steps done and the losses.

    Returns
    -------
    LatentGenerator
        With the moving average of the weights, frozen, on the device.

    Raises
    ------
    InputError
        Where shapes do not fit, there is no budget, or a loss is not finite.

    Examples
    --------
    >>> from geogan.operators.pixels import RemovePixel
    >>> values, mask = torch.zeros(4, 1, 1, 16, 16), torch.ones(4, 1, 1, 16, 16)
    >>> generator = train_ambientgan(values, mask, RemovePixel(0.5), latent=4, width=4, batch=2, steps=1)
    >>> generator(torch.zeros(1, 4)).shape
    torch.Size([1, 1, 1, 16, 16])
    """
    _check(values, mask)
    if steps is None and minutes is None:
        raise InputError("training needs a budget, got neither steps nor minutes; give steps=5000, say")
    device = device or torch.device("cpu")
    height, breadth = values.shape[-2:]
    channels = values.shape[2]
    values, mask = values.float().to(device), mask.float().to(device)
    inside = (torch.ones(height, breadth) if domain is None else domain).float().to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = LatentGenerator((height, breadth), channels=channels, latent=latent, width=width, bounded=bounded)
        discriminator = Discriminator(frames=1, channels=channels, width=2 * width)
    generator.to(device)
    discriminator.to(device)
    average = copy.deepcopy(generator).requires_grad_(False)
    generator_optimiser = torch.optim.Adam(generator.parameters(), lr=rate_generator, betas=betas)
    discriminator_optimiser = torch.optim.Adam(discriminator.parameters(), lr=rate_discriminator, betas=betas)
    random = torch.Generator().manual_seed(seed)
    cast = torch.autocast(device.type, precision, enabled=precision != torch.float32)
    started, step = time.monotonic(), 0

    while (steps is None or step < steps) and (minutes is None or time.monotonic() - started < 60 * minutes):
        chosen = torch.randint(len(values), (batch,), generator=random).to(device)
        z = torch.randn((batch, latent), generator=random).to(device)
        theta = operator.sample((batch, 1, channels, height, breadth), generator=random)
        theta = each_tensor(theta, lambda part: part.to(device))
        with cast:
            images = generator(z)
        seen = operator.apply(images, theta)
        measured = add_noise(Observation(seen.values * inside, seen.mask * inside), operator.noise, generator=random)

        with cast:
            scores = discriminator(
                torch.cat([values[chosen], measured.values.detach()]), torch.cat([mask[chosen], measured.mask])
            )
        discriminator_loss = objective.prior_discriminator(scores[:batch], scores[batch:])
        discriminator_optimiser.zero_grad(set_to_none=True)
        discriminator_loss.backward()
        discriminator_optimiser.step()

        discriminator.requires_grad_(False)
        with cast:
            generator_loss = objective.prior_generator(discriminator(*measured))
        discriminator.requires_grad_(True)
        generator_optimiser.zero_grad(set_to_none=True)
        generator_loss.backward()
        generator_optimiser.step()
        with torch.no_grad():
            # Early averages follow quickly, or they would remember the untrained weights.
            decay = min(AVERAGING, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), 1 - decay)
        step += 1
        if step % REPORT == 0 or step == steps:
            losses = {"generator": float(generator_loss.detach()), "discriminator": float(discriminator_loss.detach())}
            if not all(map(math.isfinite, losses.values())):
                raise InputError(
                    f"training of AmbientGAN stopped at step {step}: a loss is not finite ({losses}); lower the "
                    "learning rates or use float32"
                )
            if progress is not None:
                progress(step, losses)
    return average


def search_latent(
    generator: LatentGenerator,
    values: Tensor,
    mask: Tensor,
    operator: Operator,
    *,
    restarts: int = 3,
    iterations: int = 300,
    rate: float = 0.1,
    weight_prior: float = 0.001,
    batch: int = 64,
    seed: int = 0,
    device: torch.device | None = None,
) -> Tensor:
    """The image of the latent that explains each measurement best.

    ``argmin_z |y - F(G(z))|^2 / cells + weight_prior |z|^2 / latent``, the squares summed over the observed cells and
    divided by their number. F is the measurement's own: its mask, and the operator's blur. The second term is
    the logarithm of the latent's own law. Adam starts from ``restarts`` draws of that law, its rate falling to zero as
    a cosine; of each measurement the result with the least objective is kept.

    An image of 32 x 32 cells and three bands takes 1 s of one core with the defaults and a generator of width 16.

    Parameters
    ----------
    generator : LatentGenerator
    values, mask : Tensor, shape (N, 1, C, H, W)
        Measurements, 0 in gaps, and where they are observed (1).
    operator : Operator
        The measurement process.
    restarts, iterations : int
        Starts per measurement, and steps of Adam from each.
    rate : float
        Learning rate of Adam at the start.
    weight_prior : float
        Weight of the latent's law. On photographs, after minutes of training, less was always better: 0.001, 0.01,
        0.05 and 0.2 left errors of 0.089, 0.091, 0.096 and 0.103 with 90 % hidden, and 0.071 to 0.093 under blur and
        noise; a rate of 0.03 gave 0.098 and 0.081 with 0.001.
    batch : int
        Latents searched at a time, over measurements and restarts; the result does not depend on it.
    seed : int
        Start r of measurement n depends on ``seed``, n and r alone.
    device : torch.device, optional

    Returns
    -------
    Tensor, shape (N, 1, C, H, W)
        ``G(z)``, on the device; observed values are not put back.

    Raises
    ------
    InputError
        Where shapes do not fit, or there is less than one restart or iteration.

    Examples
    --------
    >>> from geogan.operators.pixels import RemovePixel
    >>> generator = LatentGenerator((16, 16), latent=4, width=4)
    >>> y, mask = torch.zeros(2, 1, 1, 16, 16), torch.ones(2, 1, 1, 16, 16)
    >>> search_latent(generator, y, mask, RemovePixel(0.5), iterations=2).shape
    torch.Size([2, 1, 1, 16, 16])
    """
    _check(values, mask)
    if values.shape[2:] != (generator.channels, *generator.size):
        raise InputError(
            f"measurements must have the generator's shape (C, H, W) = {(generator.channels, *generator.size)}, got "
            f"{tuple(values.shape[2:])}; train a generator on such measurements"
        )
    if min(restarts, iterations, batch) < 1:
        raise InputError(
            f"restarts, iterations and batch must be at least 1, got {restarts}, {iterations} and {batch}; "
            "give 3, 300 and 64"
        )
    device = device or torch.device("cpu")
    frozen = copy.deepcopy(generator).requires_grad_(False).to(device)
    each = [(n, r) for n in range(len(values)) for r in range(restarts)]
    scores, images = [], []
    for start in range(0, len(each), batch):
        part = each[start : start + batch]
        z = torch.cat([torch.randn((1, generator.latent), generator=dated_generator(seed, n, r)) for n, r in part])
        numbers = torch.tensor([n for n, _ in part])
        y, seen = values[numbers].float().to(device), mask[numbers].float().to(device)
        score, image = _descend(frozen, z.to(device), y, seen, operator, iterations, rate, weight_prior)
        scores.append(score)
        images.append(image)
    if not each:
        return values.new_zeros(values.shape)
    best = torch.cat(scores).view(-1, restarts).argmin(1)
    found = torch.cat(images).unflatten(0, (-1, restarts))
    return found[torch.arange(len(found), device=device), best]


def _descend(
    generator: LatentGenerator,
    z: Tensor,
    y: Tensor,
    mask: Tensor,
    operator: Operator,
    iterations: int,
    rate: float,
    weight_prior: float,
) -> tuple[Tensor, Tensor]:
    """Objectives (B,) and images (B, 1, C, H, W) at the end of the descent from each ``z``."""
    z = z.requires_grad_()
    cells = mask.flatten(1).sum(1).clamp_min(1)

    def scored() -> tuple[Tensor, Tensor]:
        image = generator(z)
        misfit = (mask * (operator.blur(image) - y).square()).flatten(1).sum(1) / cells
        return misfit + weight_prior * z.square().mean(1), image

    optimiser = torch.optim.Adam([z], lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    for _ in range(iterations):
        optimiser.zero_grad(set_to_none=True)
        # A sum: Adam then treats every latent as if it were alone.
        scored()[0].sum().backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return scored()


def ambientgan(
    values: np.ndarray,
    *,
    domain: np.ndarray,
    operator: Operator,
    bounded: bool = False,
    latent: int = 128,
    width: int = 16,
    batch: int = 32,
    steps: int | None = None,
    minutes: float | None = None,
    restarts: int = 3,
    iterations: int = 300,
    rate: float = 0.1,
    weight_prior: float = 0.001,
    seed: int = 0,
    precision: torch.dtype = torch.float32,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Train AmbientGAN on measurements, then search the latent that explains each of them.

    Of a field every date is a sample by itself. Sides need not be multiples of 8: the generator makes the next larger
    map and is cropped, so that nothing is padded that is measured.

    Parameters
    ----------
    values : ndarray, shape (T, C, H, W)
        Measurements, NaN where unseen, at least 8 cells along each side; the gaps of the bands may differ.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.
    operator : Operator
        The measurement process, fitted; its noise in the units said next.
    bounded : bool
        True for images: values in [-1, 1] are taken as they are. False: each band is standardised by the mean and the
        standard deviation of all its observations; a season is best removed before.
    latent, width, batch, steps, minutes, precision, progress
        As of :func:`train_ambientgan`.
    restarts, iterations, rate, weight_prior
        As of :func:`search_latent`.
    seed : int
        Of both.
    device : torch.device, optional

    Returns
    -------
    filled : ndarray, shape (T, C, H, W)
        ``values`` where observed, bit for bit, if the operator is exact; NaN outside the domain. A measurement of
        which nothing was seen gets the image of the likeliest latent. The dtype is that of ``values``.

    Raises
    ------
    InputError
        Where the shapes do not fit, a band has no observation at all, there is no budget, or a loss is not finite.

    Examples
    --------
    >>> from geogan.operators.pixels import RemovePixel
    >>> gappy = np.random.default_rng(0).normal(15, 2, (4, 1, 10, 13))
    >>> gappy[..., 2:5, 3:6] = np.nan
    >>> sea = np.ones((10, 13), bool)
    >>> filled = ambientgan(gappy, domain=sea, operator=RemovePixel(0.1), width=4, batch=2, steps=1, iterations=2)
    >>> bool(np.isfinite(filled).all())
    True
    """
    if values.ndim != 4 or domain.shape != values.shape[2:]:
        raise InputError(
            f"values must be (T, C, H, W) and domain (H, W), got {values.shape} and {domain.shape}; "
            "order the dimensions so"
        )
    observed = np.isfinite(values) & domain
    count = observed.sum((0, 2, 3))
    if not count.all():
        raise InputError(f"every band needs observations, got {count.tolist()} of them; leave out the empty bands")
    channels = values.shape[1]
    level, scale = np.zeros((channels, 1, 1)), np.ones((channels, 1, 1))
    if not bounded:
        for band in range(channels):
            seen = values[:, band][observed[:, band]].astype("float64")
            level[band], scale[band] = seen.mean(), seen.std() or 1.0
    anomaly = np.where(observed, (values - level) / scale, 0.0).astype("float32")
    y, mask = (torch.from_numpy(each)[:, None] for each in (anomaly, observed.astype("float32")))
    generator = train_ambientgan(
        y,
        mask,
        operator,
        domain=torch.from_numpy(domain),
        latent=latent,
        width=width,
        bounded=bounded,
        batch=batch,
        steps=steps,
        minutes=minutes,
        seed=seed,
        precision=precision,
        device=device,
        progress=progress,
    )
    found = search_latent(
        generator,
        y,
        mask,
        operator,
        restarts=restarts,
        iterations=iterations,
        rate=rate,
        weight_prior=weight_prior,
        seed=seed,
        device=device,
    )
    filled = (found[:, 0].cpu().double().numpy() * scale + level).astype(values.dtype)
    if operator.exact:
        filled[observed] = values[observed]
    filled[..., ~domain] = np.nan
    return filled


def _check(values: Tensor, mask: Tensor) -> None:
    if values.ndim != 5 or values.shape[1] != 1 or mask.shape != values.shape:
        raise InputError(
            f"values and mask must be (N, 1, C, H, W), got {tuple(values.shape)} and {tuple(mask.shape)}; "
            "give single frames, each with its mask"
        )
    if min(values.shape[-2:]) < 8:
        raise InputError(
            f"images must have at least 8 cells along each side, got {tuple(values.shape[-2:])}; give larger ones"
        )
