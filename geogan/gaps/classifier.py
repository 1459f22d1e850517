"""A small classifier that distinguishes real images from drawn ones (Lopez-Paz and Oquab, ICLR 2017).

Images are gaps, or measurements with their gaps. The classifier is right half of the time if both have the same law,
and more often if it finds any difference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

_BATCH, _RATE, _WIDTH = 32, 2e-3, 12


class Accuracy(NamedTuple):
    """Share of images that a classifier assigns to the right kind; 0.5 is perfect for the drawn images.

    Attributes
    ----------
    value : float
    error : float
        Standard error, from the scatter between dates.
    """

    value: float
    error: float

    def __str__(self) -> str:
        return f"{self.value:.0%} ± {self.error:.0%}"


def tell_apart(
    real: np.ndarray,
    drawn: np.ndarray,
    test_real: np.ndarray,
    test_drawn: np.ndarray,
    *,
    dates: np.ndarray,
    seed: int,
    steps: int = 300,
) -> Accuracy:
    """Train a classifier on some images, and return how often it is right on others.

    Parameters
    ----------
    real, drawn : ndarray, shape (N, C, h, w)
        For training; channels are masks, or values of order one with 0 in gaps.
    test_real, test_drawn : ndarray, shape (M, C, h, w)
        Of other dates.
    dates : ndarray, shape (M,)
        Date of each image of the test, real and drawn: images of one date are not independent.
    seed : int
        Decides weights and batches.
    steps : int
        Training steps.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> noise = [random.normal(size=(64, 1, 16, 16)) for _ in range(4)]
    >>> tell_apart(noise[0], 3 * noise[1], noise[2], 3 * noise[3], dates=np.arange(64), seed=0, steps=30).value > 0.9
    True
    """
    images, others, test_images, test_others = (
        torch.from_numpy(part.astype(np.float32)) for part in (real, drawn, test_real, test_drawn)
    )
    with torch.random.fork_rng(devices=[]):
        # Weights and dropout draw from the generator of torch.
        torch.manual_seed(seed)
        network = _trained(images, others, steps=steps, seed=seed)
    network.eval()
    with torch.no_grad():
        right_real = (network(test_images).squeeze(1) > 0).numpy()
        right_drawn = (network(test_others).squeeze(1) <= 0).numpy()
    right = (right_real.astype(float) + right_drawn) / 2
    by_date = np.array([right[dates == date].mean() for date in np.unique(dates)])
    spread = by_date.std(ddof=1) if len(by_date) > 1 else 0.5
    return Accuracy(float(right.mean()), float(max(spread, 0.5 / len(right) ** 0.5) / max(1, len(by_date)) ** 0.5))


def _trained(real: Tensor, drawn: Tensor, *, steps: int, seed: int) -> nn.Module:
    """Return a network whose output is positive for real images."""
    network, generator = _network(real.shape[1]), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    labels = torch.cat([torch.ones(_BATCH), torch.zeros(_BATCH)])
    for _ in range(steps):
        chosen = torch.randint(0, len(real), (_BATCH,), generator=generator)
        logits = network(_flipped(torch.cat([real[chosen], drawn[chosen]]), generator)).squeeze(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network


def _network(channels: int) -> nn.Module:
    layers: list[nn.Module] = []
    for width in (_WIDTH, 2 * _WIDTH, 4 * _WIDTH):
        layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * channels, 1))


def _flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images of which half are mirrored from left to right."""
    flips = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(flips[:, None, None, None], images.flip(-1), images)
