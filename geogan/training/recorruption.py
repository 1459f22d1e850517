"""Noise on top of noisy measurements, so that a second, independent noise can be withheld.

Of ``y = F(x) + epsilon`` the generator is shown ``y + alpha n`` and asked for ``y - n / alpha``, with ``n`` drawn like
``epsilon``: the errors of both are uncorrelated (Pang, Zheng, Quan, Ji 2021, "Recorrupted-to-Recorrupted").
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geogan.operators.operator import Operator

# alpha: 0.5 disturbs what is shown by a quarter of the noise's variance, and what is asked for by four times as much.
RECORRUPTION = 0.5
# Standard deviation of the error of what is shown, and of what is asked for, over that of the measurement.
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
