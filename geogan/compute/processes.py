"""Processes that train together: the share of each, and what they exchange.

Every process draws all random numbers for the whole batch and works on its share of the windows, so that several
processes do what one would. Gradients are averaged by one sum over all processes between ``backward`` and the
optimiser's step. ``DistributedDataParallel`` does not fit: the discriminator runs three times a step and is frozen in
one of them, the generator runs twice before one ``backward``, and a single sum of some megabytes is as quick.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from geogan.operators.errors import InputError

# Environment variables that a launcher such as torchrun sets.
LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# Rank 0 may prepare or validate for hours while the others wait for its message; a process that dies meanwhile is
# noticed at once. Sums of gradients are never that late, and on GPUs a dead process is noticed by this limit alone.
MESSAGE_LIMIT, SUM_LIMIT = timedelta(days=7), timedelta(minutes=30)
# The group for messages, made by `joined`; the main group is for sums of gradients.
_messages: Any = None


class LostRank(InputError):
    """Another process of the training has stopped."""


@dataclass(frozen=True)
class Ranks:
    """The processes of one training; by default, one.

    Parameters
    ----------
    rank : int
        Number of this process. Rank 0 prepares, validates, writes and reports.
    size : int
        Number of processes.

    Examples
    --------
    >>> second = Ranks(1, size=3)
    >>> list(range(9))[second.share], second.first
    ([1, 4, 7], False)
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """Return the processes that this one has joined; this process alone if it has joined none."""
        if not (dist.is_available() and dist.is_initialized()):
            return ALONE
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """The windows of a batch that this process trains on."""
        return slice(self.rank, None, self.size)

    def needs(self, number: int, step: int) -> bool:
        """Return whether windows of this process may come from a block.

        Parameters
        ----------
        number : int
            Number of the block.
        step : int
            Window ``i`` comes from one of the blocks ``i % step, i % step + step, ...``, as
            :meth:`geogan.training.windows.WindowSampler.draw` describes.

        Examples
        --------
        >>> [number for number in range(8) if Ranks(1, size=2).needs(number, 4)]
        [1, 3, 5, 7]
        """
        common = math.gcd(self.size, step)
        return number % common == self.rank % common

    def whole(self, shape: Sequence[int], axis: int = 0) -> tuple[int, ...]:
        """Return the shape of the whole batch, from that of the share of one process."""
        return tuple(length * self.size if index == axis else length for index, length in enumerate(shape))

    def mine(self, drawn: Any, axis: int = 0) -> Any:
        """Return the share of this process in a tensor drawn for the whole batch, or in tuples of such tensors.

        Examples
        --------
        >>> Ranks(1, size=2).mine((torch.arange(6), ()))
        (tensor([1, 3, 5]), ())
        """
        if self.size == 1:
            return drawn
        if isinstance(drawn, Tensor):
            return drawn[(slice(None),) * axis + (self.share,)]
        assert isinstance(drawn, tuple)
        return tuple(self.mine(part, axis) for part in drawn)

    def normal(self, like: Tensor, generator: torch.Generator, axis: int = 0) -> Tensor:
        """Return standard normal numbers of the shape of ``like``: this process's share of those of the batch.

        Parameters
        ----------
        like : Tensor
        generator : torch.Generator
            In the same state on every process; numbers are drawn on its device and moved to that of ``like``.
        axis : int
            Axis along which the windows of the batch lie.
        """
        drawn = torch.randn(self.whole(like.shape, axis), generator=generator, device=generator.device)
        return self.mine(drawn, axis).to(like.device, non_blocking=True)

    def mean(self, mean: Tensor, where: Tensor) -> Tensor:
        """Return this process's part of a mean over the batch; the mean of all parts is that over all cells.

        Parameters
        ----------
        mean : Tensor
            Mean over the cells of this process, whose denominator is at least 1.
        where : Tensor
            1, or a weight, on the cells that count.
        """
        if self.size == 1:
            return mean
        cells = where.detach().sum()
        total = self._sum(cells.clone())
        return mean * (self.size * cells.clamp_min(1) / total.clamp_min(1))

    def average_gradients(self, network: Any) -> None:
        """Replace gradients, and running statistics of batch norm, by their means over all processes."""
        if self.size == 1:
            return
        tensors = [weight.grad for weight in network.parameters() if weight.grad is not None]
        for layer in network.modules():
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None and layer.running_var is not None:
                tensors += [layer.running_mean, layer.running_var]
        with torch.no_grad():
            flat = self._sum(torch.cat([tensor.flatten() for tensor in tensors])) / self.size
            parts = flat.split([tensor.numel() for tensor in tensors])
            torch._foreach_copy_(tensors, [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)])

    def broadcast(self, network: Any) -> None:
        """Give a network the weights of rank 0: another machine may round random weights differently."""
        if self.size > 1:
            with _together():
                dist.barrier(_messages)  # some processes wait long for others
        for tensor in network.state_dict().values() if self.size > 1 else ():
            received = tensor.contiguous()
            with _together():
                dist.broadcast(received, 0)
            tensor.copy_(received)

    def means(self, values: Sequence[float]) -> list[float]:
        """Return means over all processes."""
        if self.size == 1 or not values:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        with _together():
            dist.all_reduce(total, group=_messages)
        return (total / self.size).tolist()

    def from_first(self, values: Sequence[float]) -> list[float]:
        """Return the numbers of rank 0; the other processes give as many, which are ignored."""
        if self.size == 1:
            return list(values)
        message = torch.tensor(values, dtype=torch.float64)
        with _together():
            dist.broadcast(message, 0, group=_messages)
        return message.tolist()

    def bytes_from_first(self, content: bytes) -> bytes:
        """Return the bytes of rank 0; those of the other processes are ignored."""
        if self.size == 1:
            return content
        (length,) = self.from_first([len(content)])
        message = torch.empty(int(length), dtype=torch.uint8)
        if content and self.first:
            message = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        with _together():
            dist.broadcast(message, 0, group=_messages)
        return message.numpy().tobytes()

    @contextmanager
    def files(self, folder: Path | None, *names: str) -> Iterator[Path]:
        """Give every process a folder with files of rank 0's ``folder``; processes need no common disk."""
        if self.first:
            assert folder is not None
            for name in names if self.size > 1 else ():
                self.bytes_from_first(_content(folder / name))
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="geogan-") as copies:
            for name in names:
                (Path(copies) / name).write_bytes(self.bytes_from_first(b""))
            yield Path(copies)

    def _sum(self, tensor: Tensor) -> Tensor:
        with _together():
            dist.all_reduce(tensor)
        return tensor


ALONE = Ranks()


def processes_here() -> int:
    """Return the number of processes of the training on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if Ranks.here().size > 1 else 1


def own_accelerator() -> int:
    """Return the number of the GPU of this process; some launchers number processes over all machines only."""
    number = os.environ.get("LOCAL_RANK") or os.environ.get("RANK") or Ranks.here().rank
    return int(number) % max(1, torch.cuda.device_count())


@contextmanager
def joined(limit: timedelta = SUM_LIMIT) -> Iterator[Ranks]:
    """Join the processes that a launcher such as ``torchrun`` started; without a launcher there is only this one.

    Parameters
    ----------
    limit : timedelta
        Time to wait for the others to join, or to contribute to a sum.

    Raises
    ------
    InputError
        If they cannot be reached.
    """
    global _messages
    launched = all(name in os.environ for name in LAUNCHED) and int(os.environ["WORLD_SIZE"]) > 1
    if not launched or Ranks.here().size > 1:
        yield Ranks.here()
        return
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(own_accelerator())
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=limit)
        _messages = dist.new_group(backend="gloo", timeout=MESSAGE_LIMIT)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"the {os.environ['WORLD_SIZE']} processes of this training could not reach each other at "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} ({error}); check torchrun's address and port"
        ) from error
    try:
        yield Ranks.here()
    finally:
        _messages = None
        with suppress(RuntimeError):
            dist.destroy_process_group()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror}); give a folder made by geogan train, or train it again"
        ) from error


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise LostRank(
            "another process of this training has stopped, and so does this one; go on from the last checkpoint with "
            "--resume"
        ) from error
