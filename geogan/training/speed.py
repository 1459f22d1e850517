"""The precision and the number of threads that train quickest here, found by measuring for a moment."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch

from geogan.compute.threads import torch_threads
from geogan.model.networks import Generator

# Windows of a pass on a CPU: enough to tell, few enough to be quick; and the seconds that the measurement may take.
WINDOWS, SECONDS = 2, 1.5
# What more threads must win: so close, the fewer leave more to others.
WORTH = 0.9


class Pace(NamedTuple):
    """How training computes."""

    precision: str
    threads: int

    def __str__(self) -> str:
        return f"{self.precision} on {self.threads} thread{'s' if self.threads > 1 else ''}"


def thread_counts(most: int) -> list[int]:
    """Numbers of threads worth trying: powers of two, and as many as there may be.

    Examples
    --------
    >>> thread_counts(1), thread_counts(6)
    ([1], [1, 2, 4, 6])
    """
    return sorted({min(2**power, most) for power in range(most.bit_length() + 1)})


def find_pace(
    network: Generator,
    *,
    batch: int,
    crop: tuple[int, int],
    device: torch.device,
    precisions: Sequence[str],
    threads: Sequence[int],
    seconds: float = SECONDS,
) -> Pace:
    """Which precision and how many threads pass forward and backward quickest, of a copy of the network.

    The machine is measured as it is: where others compute too, two threads may be many times slower than one, for each
    waits for the other.

    Parameters
    ----------
    network : Generator
        Left as it is.
    batch : int
        Windows of a training step.
    crop : (int, int)
        Height and width of a window, in cells.
    device : torch.device
    precisions : sequence of {"float32", "bfloat16"}
        Those to choose from.
    threads : sequence of int
        Numbers to choose from, rising; none larger is tried once one was no quicker.
    seconds : float
        About how long to measure.
    """
    if len(precisions) == 1 and len(threads) == 1:
        return Pace(precisions[0], threads[0])
    network = copy.deepcopy(network)
    # So few would measure on an accelerator how quickly work is handed to it.
    windows = min(batch, WINDOWS) if device.type == "cpu" else batch
    shape = (windows, network.frames, network.channels, *crop)
    x, domain = torch.zeros(shape, device=device), torch.ones((shape[0], 1, 1, *crop), device=device)
    extra = torch.zeros((shape[0], network.extras, *crop), device=device) if network.extras else None

    def once(precision: str) -> float:
        began = time.perf_counter()
        with torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32"):
            loss = network(x, x, x, domain, extra=extra).square().mean()
        loss.backward()
        float(loss.detach())  # until it is there
        return time.perf_counter() - began

    def measured(pace: Pace) -> float:
        """The quickest pass of some: what disturbs only ever adds."""
        with torch_threads(pace.threads):
            once(pace.precision)  # the first compiles, and fetches memory
            began, took = time.perf_counter(), [once(pace.precision)]
            while time.perf_counter() - began < share:
                took.append(once(pace.precision))
        return min(took)

    share = seconds / (len(precisions) * len(threads))
    found = {Pace(precision, threads[0]): measured(Pace(precision, threads[0])) for precision in precisions}
    best = min(found, key=found.__getitem__)
    for count in threads[1:]:
        more = Pace(best.precision, count)
        found[more] = measured(more)
        if found[more] > WORTH * found[best]:
            break
        best = more
    return best
