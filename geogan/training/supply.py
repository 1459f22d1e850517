"""What the steps of training need, made ahead: windows, and a fresh theta for them, on the device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from geogan.compute.threads import ahead
from geogan.prior import Film


class Supply:
    """Windows and theta of one step after another, each made by a thread while the step before computes.

    To an accelerator they travel through pinned memory, beside what it computes.

    Parameters
    ----------
    draw : callable
        ``draw(step)`` gives the windows and theta of a step, or None for no theta, on the CPU. A function of the step
        alone: what was made and never taken is made again by who goes on.
    steps : iterable of int
    device : torch.device

    Attributes
    ----------
    waited : float
        Seconds for which somebody waited in :meth:`take`.
    """

    def __init__(self, draw: Callable[[int], tuple[Film, Any]], steps: Iterable[int], device: torch.device) -> None:
        self.waited = 0.0
        self._draw, self._device = draw, device
        self._beside = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._coming = ahead(self._made, steps)

    def take(self) -> tuple[Film, Any]:
        """Those of the next step."""
        began = time.perf_counter()
        windows, theta = next(self._coming)
        self.waited += time.perf_counter() - began
        if self._beside is not None:
            # Memory of another stream: it may be used again only when this one has done with it.
            here = torch.cuda.current_stream(self._device)
            for part in windows.parts().values():
                if part.is_cuda:
                    part.record_stream(here)
            each_tensor(theta, lambda part: part.record_stream(here))
        return windows, theta

    def close(self) -> None:
        """Make no more."""
        self._coming.close()

    def _made(self, step: int) -> tuple[Film, Any]:
        windows, theta = self._draw(step)
        if self._beside is None:
            return windows.to(self._device), each_tensor(theta, lambda part: part.to(self._device))
        with torch.cuda.stream(self._beside):
            moved = windows.apply(Tensor.pin_memory).to(self._device)
            theta = each_tensor(theta, lambda part: part.contiguous().pin_memory().to(self._device, non_blocking=True))
            self._beside.synchronize()
        return moved, theta


def each_tensor(theta: Any, do: Callable[[Tensor], Any]) -> Any:
    """A draw of theta, or None, with something done to each of its tensors.

    Examples
    --------
    >>> each_tensor((torch.arange(3), ()), lambda part: part[:1])
    (tensor([0]), ())
    """
    if theta is None or isinstance(theta, Tensor):
        return None if theta is None else do(theta)
    return tuple(each_tensor(part, do) for part in theta)
