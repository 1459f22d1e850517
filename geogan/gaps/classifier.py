"""A small classifier that is told to distinguish real gaps from drawn ones (Lopez-Paz and Oquab, ICLR 2017).

It sees single masks. It is right half of the time if the two have the same law, and more often if it finds any
difference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from geogan.gaps.crops import Crops

_STEPS, _BATCH, _RATE, _WIDTH = 300, 32, 2e-3, 12


class Accuracy(NamedTuple):
    """Share of crops that a classifier assigns to the right kind; 0.5 is perfect for the operator.

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


def tell_apart(real: Crops, drawn: Crops, test_real: Crops, test_drawn: Crops, *, seed: int) -> Accuracy:
    """Train a classifier on some crops, and return how often it is right on others.

    Parameters
    ----------
    real, drawn : Crops
        For training, at the same places.
    test_real, test_drawn : Crops
        Of other dates, at the same places as each other.
    seed : int
        Decides weights and batches.
    """
    with torch.random.fork_rng(devices=[]):
        # Weights and dropout draw from the generator of torch.
        torch.manual_seed(seed)
        network = _trained(_images(real), _images(drawn), seed=seed)
    network.eval()
    with torch.no_grad():
        right_real = (network(_images(test_real)).squeeze(1) > 0).numpy()
        right_drawn = (network(_images(test_drawn)).squeeze(1) <= 0).numpy()
    right = (right_real.astype(float) + right_drawn) / 2
    by_date = np.array([right[test_real.dates == date].mean() for date in np.unique(test_real.dates)])
    spread = by_date.std(ddof=1) if len(by_date) > 1 else 0.5
    return Accuracy(float(right.mean()), float(max(spread, 0.5 / len(right) ** 0.5) / max(1, len(by_date)) ** 0.5))


def _trained(real: Tensor, drawn: Tensor, *, seed: int) -> nn.Module:
    """Return a network whose output is positive for real gaps."""
    network, generator = _network(real.shape[1]), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _STEPS)
    labels = torch.cat([torch.ones(_BATCH), torch.zeros(_BATCH)])
    for _ in range(_STEPS):
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


def _images(crops: Crops) -> Tensor:
    """Return the first mask and the domain as channels, (N, 2, h, w)."""
    return torch.from_numpy(np.stack([crops.seen[:, 0], crops.domain], 1).astype(np.float32))


def _flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images of which half are mirrored from left to right."""
    flips = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(flips[:, None, None, None], images.flip(-1), images)
