"""Weight observations by their known error."""

from torch import Tensor

# Standard deviation of the error of a typical first guess, in anomalies.
TYPICAL_ERROR = 0.3


def trust(mask: Tensor, error: Tensor | float, scale: Tensor | float = TYPICAL_ERROR) -> Tensor:
    """Return a mask in which observations with a large error count less: ``scale^2 / (scale^2 + error^2)``.

    This is the weight by inverse variance if an error of ``scale`` remains without any error of the observation.
    Without an error it is the mask; with an infinite error it is 0, as if nothing was observed.

    Parameters
    ----------
    mask : Tensor
        1 where observed.
    error, scale : Tensor or float
        Standard deviation of the observation errors, and of the error that remains anyway, in the same unit.

    Examples
    --------
    >>> import torch
    >>> trust(torch.ones(3), torch.tensor([0.0, 0.5, torch.inf]), 0.5).tolist()
    [1.0, 0.5, 0.0]
    """
    return mask * (scale * scale / (scale * scale + error * error))
