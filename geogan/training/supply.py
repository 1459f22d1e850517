"""Windows and theta of the coming steps, made ahead by a thread while the present step computes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from geogan.compute.threads import ahead
from geogan.operators.operator import each_tensor
from geogan.prior import Film


class Supply:
    """Windows and theta of one step after another, on the device of the networks.

    To a GPU they travel through pinned memory, on a stream beside that of the step.

    Parameters
    ----------
    draw : callable
        ``draw(step)`` returns windows and theta on the CPU, theta None if the step needs none. It depends only on the
        step, so a training that is resumed draws the same.
    steps : iterable of int
    device : torch.device

    Attributes
    ----------
    waited : float
        Seconds spent waiting in :meth:`take`.
    """

    def __init__(self, draw: Callable[[int], tuple[Film, Any]], steps: Iterable[int], device: torch.device) -> None:
        self.waited = 0.0
        self._draw, self._device = draw, device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._drawn = ahead(self._moved, steps)

    def take(self) -> tuple[Film, Any]:
        """Return windows and theta of the next step."""
        began = time.perf_counter()
        windows, theta = next(self._drawn)
        self.waited += time.perf_counter() - began
        if self._stream is not None:
            # The memory belongs to the other stream: it may be used again only when the present one has done with it.
            present = torch.cuda.current_stream(self._device)
            for part in windows.parts().values():
                if part.is_cuda:
                    part.record_stream(present)
            each_tensor(theta, lambda part: part.record_stream(present))
        return windows, theta

    def close(self) -> None:
        """Stop drawing."""
        self._drawn.close()

    def _moved(self, step: int) -> tuple[Film, Any]:
        windows, theta = self._draw(step)
        if self._stream is None:
            return windows.to(self._device), each_tensor(theta, lambda part: part.to(self._device))
        with torch.cuda.stream(self._stream):
            windows = windows.apply(Tensor.pin_memory).to(self._device)
            theta = each_tensor(theta, lambda part: part.contiguous().pin_memory().to(self._device, non_blocking=True))
            self._stream.synchronize()
        return windows, theta
