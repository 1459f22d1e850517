"""Weight observations by their known error."""

from torch import Tensor

# Standard deviation of a usual first guess's error, in anomalies.
USUAL = 0.3


def trust(mask: Tensor, error: Tensor | float, scale: Tensor | float) -> Tensor:
    """A mask in which observations count the less, the larger their error is: ``scale^2 / (scale^2 + error^2)``.

    Where an error of ``scale`` stays anyhow, it is the weight of an inverse variance; without error it is the mask, and
    under an endless error nothing is observed.

    Examples
    --------
    >>> trust(torch.ones(3), torch.tensor([0.0, 0.5, torch.inf]), 0.5).tolist()
    [1.0, 0.5, 0.0]
    """
    return mask * (scale * scale / (scale * scale + error * error))
