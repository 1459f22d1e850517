"""Covariance of the Markov field of :mod:`geogan.prior.gaussian` between two cells far from any edge.

With ``k1 = kappa`` and ``k2 = kappa / detail`` the field has the precision ``s (k1^2 + L) (k2^2 + L)``. Partial
fractions give its covariance from the Green's functions of the lattice:

    C(lag) = (G(k1^2, lag) - G(k2^2, lag)) / (k2^2 - k1^2) / s

Near lags use the exact Green's function of the lattice, an integral over the waves along x; the integral over the waves
along y is known. Farther lags use its limit, ``K0(k r) / (2 pi)``. Both are differentiable in all parameters.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.special import k0e, k1e
from torch import Tensor

# Largest lag in cells, along x or y, with the exact Green's function; beyond it the limit is within 0.2 % of the
# variance for an aspect of at most 2.
NEAR = 8
# Nodes of the integral over the waves. They are denser near the wave 0, where the integrand is steep.
NODES, DENSITY = 160, 8.0
# Ratio of the wave numbers from which the two Green's functions are subtracted: a ratio of 1 would be a division by 0.
SMOOTH = 0.97


class _BesselK0(torch.autograd.Function):
    """``K0(x)`` with its derivative ``-K1(x)``; torch has the function without the derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        array = x.detach().numpy()
        return torch.from_numpy(k0e(array) * np.exp(-array))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        array = ctx.saved_tensors[0].detach().numpy()
        return -gradients[0] * torch.from_numpy(k1e(array) * np.exp(-array))


def bessel_k0(x: Tensor) -> Tensor:
    """Return the modified Bessel function of the second kind and order 0, differentiable.

    Examples
    --------
    >>> round(float(bessel_k0(torch.tensor([1.0], dtype=torch.float64))), 4)
    0.421
    """
    result: Tensor = _BesselK0.apply(x)
    return result


@lru_cache(maxsize=1)
def _waves() -> tuple[Tensor, Tensor]:
    """Return waves between 0 and pi, and their weights in a mean over all waves."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    nodes = (nodes + 1) / 2
    waves = math.pi * np.sinh(DENSITY * nodes) / math.sinh(DENSITY)
    slopes = DENSITY * np.cosh(DENSITY * nodes) / math.sinh(DENSITY)
    return torch.from_numpy(waves), torch.from_numpy(weights / 2 * slopes)


def _green(kappa2: Tensor, across: Tensor, along: Tensor, tilt: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """Return the Green's function of ``kappa2 + L`` on an infinite lattice, at lags (N,) with ``dy`` not negative."""
    waves, weights = _waves()
    # 1 / (b - 2 a cos(q + phase)) is integrated over the waves q along y.
    size = (along.square() + tilt.square() + 2 * along * tilt * waves.cos()).sqrt()
    excess = kappa2 + 2 * (along + tilt - size) + 2 * across * (1 - waves.cos())
    root = (excess * (excess + 4 * size)).sqrt()
    decay = (excess + 2 * size - root) / (2 * size)
    phase = torch.atan2(tilt * waves.sin(), along + tilt * waves.cos())
    angle = waves * dx[:, None] - phase * dy[:, None]
    return (weights * angle.cos() * torch.exp(decay.log() * dy[:, None]) / root).sum(1)


def wave_numbers(length: Tensor, detail: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``k1^2`` and ``k2^2``; those of a smooth field (detail near 1) are moved apart about their mean."""
    kappa2 = 8.0 / length.square()
    if float(detail.detach()) > SMOOTH:
        return kappa2 * SMOOTH, kappa2 / SMOOTH
    return kappa2, kappa2 / detail.square()


def _variance(length: Tensor, detail: Tensor) -> Tensor:
    """Return the difference of the Green's functions at lag 0 for aspect 1 and tilt 0, which the prior is scaled by."""
    one, zero = torch.ones_like(length), torch.zeros(1, dtype=length.dtype)
    first, second = (_green(kappa2, one, one, 0 * one, zero, zero) for kappa2 in wave_numbers(length, detail))
    return (first - second)[0]


def spectrum(eigenvalues: Tensor, *, length: Tensor, detail: Tensor) -> Tensor:
    """Return the eigenvalues of the covariance of a domain, given those of its Laplacian; shape (N,)."""
    first, second = wave_numbers(length, detail)
    return (1 / (first + eigenvalues) - 1 / (second + eigenvalues)) / _variance(length, detail)


def covariance(dy: Tensor, dx: Tensor, *, length: Tensor, aspect: Tensor, detail: Tensor, tilt: Tensor) -> Tensor:
    """Return the covariance at some lags of a field whose variance is 1 if aspect is 1 and tilt 0.

    Parameters
    ----------
    dy, dx : Tensor of float64, shape (N,)
        Lags in cells; ``dy`` is not negative.
    length, aspect, detail, tilt : Tensor of float64, shape ()
        As in :class:`geogan.prior.gaussian.GaussianPrior`.

    Returns
    -------
    Tensor, shape (N,)

    Examples
    --------
    >>> one, lags = torch.tensor(1.0, dtype=torch.float64), torch.tensor([0.0, 4.0, 40.0], dtype=torch.float64)
    >>> covariance(0 * lags, lags, length=10 * one, aspect=one, detail=one, tilt=0 * one).numpy().round(3)
    array([1.   , 0.529, 0.   ])
    """
    first, second = wave_numbers(length, detail)
    slope = tilt.abs()
    unit = (1 + slope * (aspect + 1 / aspect)).sqrt()
    near = (dy <= NEAR) & (dx.abs() <= NEAR)
    couplings = (aspect / unit, 1 / aspect / unit, slope / unit)
    # A negative tilt is a positive one on the mirrored grid.
    mirrored = dx * (-1.0 if float(tilt.detach()) < 0 else 1.0)
    exact = [_green(kappa2, *couplings, dy[near], mirrored[near]) for kappa2 in (first, second)]
    far_y, far_x = dy[~near], dx[~near]
    square = far_x.square() * (1 / aspect + slope) + far_y.square() * (aspect + slope) - 2 * tilt * far_x * far_y
    distance = (square / unit).sqrt()
    limit = [bessel_k0(kappa2.sqrt() * distance) / (2 * math.pi) for kappa2 in (first, second)]
    result = torch.empty_like(dy)
    result = result.masked_scatter(near, exact[0] - exact[1]).masked_scatter(~near, limit[0] - limit[1])
    return result / _variance(length, detail)
