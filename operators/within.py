"""Measurement of a field that exists in a domain only: a blur has no weight outside of it."""

import numpy as np
import torch
from torch import Tensor

from geogan.operators.operator import Observation, Operator, Theta

# Smallest weight inside the domain that a mean is divided by.
_LEAST = 1e-6


def blurred_within(operator: Operator, x: Tensor, domain: Tensor) -> Tensor:
    """Return the measurement of ``x`` without gaps and noise, as `geogan.corrupt` takes it beside land.

    Parameters
    ----------
    operator : Operator
    x : Tensor, shape (B, T, C, H, W)
    domain : Tensor, broadcastable to the shape of ``x``, with as many axes
        1 where the field exists.

    Returns
    -------
    Tensor, shape (B, T, C, H, W)
        ``x`` itself if the operator does not blur.

    Examples
    --------
    >>> from geogan.operators.convolve import ConvolveNoise
    >>> row, sea = torch.tensor([[4.0, 2.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    >>> blurred_within(ConvolveNoise(l=3), row.view(1, 1, 1, 1, 4), sea.view(1, 1, 1, 1, 4)).flatten().tolist()[:2]
    [3.0, 3.0]
    """
    if not operator.blurs:
        return x
    return operator.blur(x * domain) / _weights(operator, domain.to(x))


def applied_within(operator: Operator, x: Tensor, theta: Theta, domain: Tensor) -> Observation:
    """Return ``F(x; theta)``, as :func:`blurred_within` blurs; the noise of theta is not divided by the weights."""
    values, mask = operator.apply(x, theta)
    if not operator.blurs:
        return Observation(values, mask)
    # F is affine: what remains of it without the blur of x is the noise.
    return Observation(values + mask * (blurred_within(operator, x, domain) - operator.blur(x)), mask)


def cells_within(operator: Operator, observed: np.ndarray) -> np.ndarray:
    """Return the cells that a coarse sensor measured: those of its blocks, not the middle cells alone.

    Parameters
    ----------
    operator : Operator
    observed : ndarray of bool, shape (H, W)
        Cells that hold a measurement.

    Returns
    -------
    ndarray of bool, shape (H, W)
        ``observed`` for operators that measure in every cell.

    Examples
    --------
    >>> from geogan.operators.downsample import Downsample
    >>> cells_within(Downsample(factor=1, columns=3), np.array([[False, True, False, False]])).tolist()
    [[True, True, True, False]]
    """
    if operator.downsampling == (1, 1):
        return observed
    x = torch.zeros((1, 1, 1, *observed.shape), requires_grad=True)
    (slope,) = torch.autograd.grad(operator.blur(x), x, torch.from_numpy(observed).to(x).expand_as(x))
    # Rounding of a Fourier transform is no weight.
    cells: np.ndarray = (slope[0, 0, 0] > _LEAST).numpy() | observed
    return cells


def _weights(operator: Operator, domain: Tensor) -> Tensor:
    """Return the share of the domain in the weights of each measured value."""
    return (operator.blur(domain) / operator.blur(torch.ones_like(domain))).clamp_min(_LEAST)
