"""Crops of masks at random places: real gaps, and gaps that an operator draws at the same places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from geogan.operators.operator import Operator

# Cells of a side of a crop, at most.
SIDE = 48
# Consecutive dates of a crop: overlap between two dates shows the persistence of gaps.
FRAMES = 2
# Share of the cells of a crop that are in the domain, at least, where the grid has such places.
_LEAST_DOMAIN = 0.5


@dataclass(frozen=True, eq=False)
class Crops:
    """Masks of some crops.

    Attributes
    ----------
    seen : ndarray of bool, shape (N, F, h, w)
        True where observed.
    domain : ndarray of bool, shape (N, h, w)
    dates : ndarray of int64, shape (N,)
        First date of each crop of real gaps, which drawn gaps of the same place share.
    """

    seen: np.ndarray
    domain: np.ndarray
    dates: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> Crops:
        return Crops(self.seen[chosen], self.domain[chosen], self.dates[chosen])

    @property
    def images(self) -> np.ndarray:
        """The first mask and the domain as channels, (N, 2, h, w)."""
        return np.stack([self.seen[:, 0], self.domain], 1)

    @property
    def hidden_share(self) -> np.ndarray:
        """Share of the domain that is hidden on the first date of each crop, (N,)."""
        cells = self.domain.sum((1, 2))
        return 1 - (self.seen[:, 0] & self.domain).sum((1, 2)) / np.maximum(1, cells)


def real_crops(
    observed: np.ndarray, domain: np.ndarray, starts: np.ndarray, count: int, *, frames: int, seed: int
) -> Crops:
    """Cut crops at random places from the masks of an archive.

    Parameters
    ----------
    observed : ndarray of bool, shape (T, H, W)
    domain : ndarray of bool, shape (H, W)
    starts : ndarray of int64, shape (S,)
        Dates at which a crop may begin; the ``frames - 1`` dates after each follow it without a pause.
    count : int
    frames : int
    seed : int
    """
    random = np.random.default_rng([seed, 0xC0])
    size = np.minimum(SIDE, domain.shape)
    places = _places(domain, size)
    rows, columns = places[random.integers(0, len(places), count)].T
    dates = random.permutation(np.resize(starts, count))
    index = (
        (dates[:, None] + np.arange(frames))[..., None, None],
        (rows[:, None] + np.arange(size[0]))[:, None, :, None],
        (columns[:, None] + np.arange(size[1]))[:, None, None, :],
    )
    return Crops(observed[index], domain[index[1][:, 0], index[2][:, 0]], dates)


def drawn_crops(operator: Operator, like: Crops, *, seed: int) -> Crops:
    """Draw gaps from an operator for the places of other crops.

    Parameters
    ----------
    operator : Operator
        Fitted.
    like : Crops
    seed : int
    """
    count, frames, height, width = like.seen.shape
    generator = torch.Generator().manual_seed(seed)
    theta = operator.sample((count, frames, 1, height, width), generator=generator)
    seen = operator.apply(torch.ones(count, frames, 1, height, width), theta).mask[:, :, 0] > 0
    return Crops(seen.numpy() & like.domain[:, None], like.domain, like.dates)


def _places(domain: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the first rows and columns of crops with enough cells of the domain, (P, 2), or with the most."""
    sums = np.pad(domain.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = size
    cells = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    least = min(_LEAST_DOMAIN * height * width, cells.max())
    return np.argwhere(cells >= least)
