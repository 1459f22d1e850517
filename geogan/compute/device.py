"""Find the device that networks run on."""

import torch

from geogan.compute.processes import Ranks, own_accelerator
from geogan.operators.choices import matching
from geogan.operators.errors import InputError


def find_device(name: str) -> torch.device:
    """Return the device of a name; ``"auto"`` is a GPU if there is one, else the CPU.

    Raises
    ------
    InputError
        If the device is unknown or not available.

    Examples
    --------
    >>> find_device("cpu")
    device(type='cpu')
    """
    name = matching(name, ("auto", "cpu", "cuda")) or name
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and Ranks.here().size > 1:
        name = f"cuda:{own_accelerator()}"
    try:
        device = torch.device(name.strip().lower())
        # Tensors on a device without memory, such as torch's "meta", have no values: reading one fails.
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError, NotImplementedError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"device {name!r} is not available on this machine; use --device cpu") from error
    return device
