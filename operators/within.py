"""Measurement of a field that exists in a domain only: a blur has no weight outside of it."""

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
    if not operator.blurs or bool((domain > 0).all()):
        return operator.apply(x, theta)
    disturbance, _ = operator.apply(torch.zeros_like(x), theta)
    values, mask = operator.apply(x * domain, theta)
    return Observation((values - disturbance) / _weights(operator, domain.to(x)) + disturbance, mask)


def _weights(operator: Operator, domain: Tensor) -> Tensor:
    """Return the weight of the domain in each measured value."""
    return operator.blur(domain).clamp_min(_LEAST)
