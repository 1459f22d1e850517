"""Add noise to noisy measurements, so that a measurement with independent noise can be withheld.

For ``y = F(x) + e`` the input of the generator is ``y + alpha n`` and its target ``y - n / alpha``, with ``n``
drawn like ``e``: the errors of input and target are uncorrelated (Pang, Zheng, Quan, Ji 2021,
"Recorrupted-to-Recorrupted").
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geogan.operators.operator import Operator

# alpha: 0.5 adds a quarter of the noise variance to the input, and four times the noise variance to the target.
RECORRUPTION = 0.5
# Standard deviations of the errors of input and target, relative to the error of the measurement.
SHOWN_ERROR, ASKED_ERROR = math.hypot(1, RECORRUPTION), math.hypot(1, 1 / RECORRUPTION)


def total_noise(operator: Operator, uncertainty: Tensor | None) -> Tensor | float:
    """Return the standard deviation of the error of a measurement, in anomalies: operator noise and known error."""
    if uncertainty is None:
        return operator.noise
    return (uncertainty.square() + operator.noise**2).sqrt()


def completed(uncertainty: Tensor, mask: Tensor) -> Tensor:
    """Return known errors, with their median where nothing was observed: simulated measurements there need one."""
    known = uncertainty[mask > 0]
    return torch.where(mask > 0, uncertainty, known.median()) if len(known) else uncertainty
