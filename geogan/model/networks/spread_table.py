"""Spread table: the standard deviation of the Gaussian posterior as a function of the distance to observations."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import torch
from scipy import sparse
from scipy.special import digamma
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from geogan.prior import ASPECTS

# Nodes along each axis of a table, and the least variance that it holds, in anomalies.
NODES, LEAST_VARIANCE = 8, 1e-10
# Weight of the curvature of the table against one cell, see `_solve`: it decides nodes that no cell is near.
STIFFNESS = 1.0


class SpreadTable(nn.Module):
    """Predict the standard deviation of the error of a Gaussian first guess, without a trained network.

    The posterior variance of a stationary Gaussian depends only on where the observations are. A table holds it as a
    function of three features of a cell, the :func:`geogan.prior.nearness.nearness` to the observations of its date, to
    the nearer one and to the farther one of the observations before and after. The table is fitted to exact draws of
    the posterior, see :meth:`fit`. It has the arguments of :class:`geogan.model.networks.error.ErrorNet`.

    Parameters
    ----------
    frames : int
        Frames of a window.
    channels : int
        Bands of the field; all share one table.

    Examples
    --------
    Before the fit it predicts 1, the standard deviation of the anomalies, everywhere:

    >>> x = torch.ones(2, 1, 1, 10, 14)
    >>> std = SpreadTable(frames=1)(x, x, x, x, x, near=torch.rand(2, 1, 3, 10, 14))
    >>> bool((std == 1).all())
    True
    """

    # An output depends on the inputs of its own cell.
    reach = 0

    def __init__(self, *, frames: int, channels: int = 1) -> None:
        super().__init__()
        self.frames, self.channels = frames, channels
        # Logarithms of standard deviations of the field, and the standard deviation of the noise, in anomalies.
        self.register_buffer("table", torch.zeros(NODES, NODES, NODES))
        self.register_buffer("noise", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))
        self.table: Tensor
        self.noise: Tensor
        self.scale: Tensor

    @classmethod
    def fit(
        cls, near: np.ndarray, variance: np.ndarray, *, draws: int, noise: float, frames: int, channels: int = 1
    ) -> Self:
        """Fit a table to the variances of posterior draws in some cells.

        Parameters
        ----------
        near : ndarray, shape (N, 3)
            The features of the cells: on the date, before, after.
        variance : ndarray, shape (N,)
            Mean square of the draws about the posterior mean, in anomalies.
        draws : int
            Number of independent draws, from which the bias of the logarithm of a mean square follows.
        noise : float
            Standard deviation of what the Gaussian takes for noise, in anomalies: the part of an observation that its
            neighbours do not determine. Its square adds to the variance, see :meth:`forward`.
        frames, channels : int
            As for the class.

        Raises
        ------
        ValueError
            If there are no cells.

        Examples
        --------
        >>> random = np.random.default_rng(0)
        >>> near = np.sort(random.random((4000, 3)), 1)
        >>> truth = 1.01 - near[:, 2] ** 2
        >>> table = SpreadTable.fit(near, truth * random.chisquare(8, 4000) / 8, draws=8, noise=0.0, frames=1)
        >>> found = table.lookup(torch.from_numpy(near).float()).numpy()
        >>> bool(np.abs(found / np.sqrt(truth) - 1).mean() < 0.05)
        True
        """
        if not len(near):
            raise ValueError("a spread table needs cells with posterior draws, got none")
        # The mean of the logarithm of a chi-square over its degrees of freedom.
        bias = digamma(draws / 2) - np.log(draws / 2)
        logarithm = np.log(np.maximum(variance, LEAST_VARIANCE)) - bias
        nodes = _solve(_coordinates(torch.from_numpy(near)).numpy(), logarithm)
        table = cls(frames=frames, channels=channels)
        table.table.copy_(torch.from_numpy(0.5 * nodes))
        # Logarithms are fitted because they scatter alike everywhere; the mean variance is larger than theirs.
        found = table.posterior(torch.from_numpy(near).float()).double().square().mean()
        table.table.add_(0.5 * math.log(max(float(variance.mean()), LEAST_VARIANCE) / float(found)))
        table.noise.fill_(noise)
        return table

    def lookup(self, near: Tensor) -> Tensor:
        """Return the standard deviation of the error in cells: the posterior's and the noise, in quadrature.

        An observation of a cell would differ by this from the first guess.

        Parameters
        ----------
        near : Tensor, shape (..., 3)

        Returns
        -------
        std : Tensor, shape (...)
            In anomalies.
        """
        return (self.posterior(near).square() + self.noise.square()).sqrt()

    def posterior(self, near: Tensor) -> Tensor:
        """Return the posterior standard deviation in cells without the noise, interpolated between nodes of the table.

        Parameters
        ----------
        near : Tensor, shape (..., 3)

        Returns
        -------
        std : Tensor, shape (...)
            In anomalies.
        """
        place = 2 * _coordinates(near) - 1
        # The last coordinate of a place belongs to the first axis of the table.
        grid = place.flip(-1).reshape(1, 1, 1, -1, 3)
        found = grid_sample(self.table[None, None].to(grid), grid, padding_mode="border", align_corners=True)
        return found.view(near.shape[:-1]).exp()

    def forward(
        self,
        values: Tensor,
        mask: Tensor,
        guess: Tensor,
        reconstruction: Tensor,
        domain: Tensor,
        extra: Tensor | None = None,
        near: Tensor | None = None,
    ) -> Tensor:
        """Return the standard deviation of the error; parameters are those of the error network.

        Returns
        -------
        std : Tensor, shape (B, T, C, H, W)
            Positive, float32.
        """
        near = mask.repeat(1, 1, ASPECTS, 1, 1) if near is None else near
        return self.lookup(features(near).float())


def features(near: Tensor) -> Tensor:
    """Return the features of cells along the last axis, (..., C, H, W, 3), from the channels of :func:`nearness`."""
    return near.unflatten(2, (ASPECTS, -1)).movedim(2, -1)


def _coordinates(near: Tensor) -> Tensor:
    """Return the place of cells in the table, (..., 3) from 0 (observed) to 1 (far from all observations).

    The posterior standard deviation rises like the root of ``1 - near`` beside an observation.
    """
    same, before, after = near.clamp(0, 1).unbind(-1)
    ordered = torch.stack([same, torch.minimum(before, after), torch.maximum(before, after)], -1)
    return (1 - ordered).sqrt()


def _solve(place: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the nodes of a table whose interpolation is nearest to some values: least squares, with a small curvature.

    Parameters
    ----------
    place : ndarray, shape (N, 3)
        From 0 to 1.
    values : ndarray, shape (N,)

    Returns
    -------
    nodes : ndarray, shape (NODES, NODES, NODES)
    """
    at = np.clip(place.astype(np.float64), 0, 1) * (NODES - 1)
    low = np.minimum(at.astype(int), NODES - 2)
    part = at - low
    rows, columns, weights = [], [], []
    for corner in np.ndindex(2, 2, 2):
        index = low + corner
        rows.append(np.arange(len(at)))
        columns.append((index[:, 0] * NODES + index[:, 1]) * NODES + index[:, 2])
        weights.append(np.where(corner, part, 1 - part).prod(1))
    count = NODES**3
    shape = (len(at), count)
    design = sparse.csr_matrix((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape)
    second = sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(NODES - 2, NODES))
    unit = sparse.identity(NODES)
    curvature = sparse.vstack(
        [
            sparse.kron(sparse.kron(*((second if axis == along else unit) for axis in (0, 1))), third)
            for along, third in ((0, unit), (1, unit), (2, second))
        ]
    )
    mean = float(values.mean())
    # The last term keeps the matrix regular where all cells lie on one plane of the table.
    left = design.T @ design + STIFFNESS * (curvature.T @ curvature) + 1e-3 * sparse.identity(count)
    nodes = np.linalg.solve(left.toarray(), design.T @ (values - mean))
    return (nodes + mean).reshape(NODES, NODES, NODES)
