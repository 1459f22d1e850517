"""The processes of one training: which of them this is, what each of them does, and what all agree on.

Every process draws all that is random for the whole batch and works on its share of it, so that several do what one
would: its windows, its draws of theta, its noise. Gradients are averaged by one sum over all processes, between
``backward`` and the optimiser's step, rather than by ``DistributedDataParallel``: the discriminator is used three times
a step and frozen in one of them, the generator twice before one ``backward``, for which the wrapper needs exceptions,
and one sum of some megabytes is as quick.
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

# What a launcher such as torchrun tells its processes.
TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# The first process may prepare or judge for hours while the others wait for what it says: one that dies then is heard
# of at once. Of what is computed together nobody is late for long, and on accelerators nobody would be heard of.
PATIENCE, PROMPT = timedelta(days=7), timedelta(minutes=30)
# The group for what is said, where `joined` made one; the main one is for what is computed.
_said: Any = None


class LostRank(InputError):
    """Another process of the training is gone."""


@dataclass(frozen=True)
class Ranks:
    """The processes of one training; by default, one.

    Parameters
    ----------
    rank : int
        Which of them this is. The first, 0, prepares, judges, writes and reports.
    size : int
        How many they are.

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
        """The processes that this one has joined; itself alone where it has joined none."""
        if not (dist.is_available() and dist.is_initialized()):
            return ALONE
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is the process that prepares, judges, writes and reports."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """Which windows of a batch are this process's."""
        return slice(self.rank, None, self.size)

    def serves(self, number: int, dealt: int) -> bool:
        """Whether windows of this process are cut from a block, where each comes from one of ``dealt`` blocks.

        Examples
        --------
        >>> [number for number in range(8) if Ranks(1, size=2).serves(number, 4)]
        [1, 3, 5, 7]
        """
        apart = math.gcd(self.size, dealt)
        return number % apart == self.rank % apart

    def whole(self, shape: Sequence[int], axis: int = 0) -> tuple[int, ...]:
        """The shape of all processes' parts together, from that of one."""
        return tuple(length * self.size if index == axis else length for index, length in enumerate(shape))

    def mine(self, drawn: Any, axis: int = 0) -> Any:
        """This process's part of what was drawn for all: a tensor, or tuples of some.

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

    def weigh(self, mean: Tensor, where: Tensor) -> Tensor:
        """This process's part of a mean over the cells ``where``: the mean of all parts is the mean over all cells.

        Parameters
        ----------
        mean : Tensor
            Over this process's own cells, of which there is at least one in the mean's denominator.
        where : Tensor
            1, or a weight, on the cells that count.
        """
        if self.size == 1:
            return mean
        mine = where.detach().sum()
        total = self._sum(mine.clone())
        return mean * (self.size * mine.clamp_min(1) / total.clamp_min(1))

    def average(self, network: Any) -> None:
        """Make gradients those of the mean of all losses, and batch norm's running statistics those of all."""
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

    def alike(self, network: Any) -> None:
        """Give a network the first process's weights, which another machine may have rounded otherwise."""
        if self.size > 1:
            with _together():
                dist.barrier(_said)  # some are here long before others
        for tensor in network.state_dict().values() if self.size > 1 else ():
            theirs = tensor.contiguous()
            with _together():
                dist.broadcast(theirs, 0)
            tensor.copy_(theirs)

    def mean(self, values: Sequence[float]) -> list[float]:
        """Means over all processes."""
        if self.size == 1 or not values:
            return list(values)
        said = torch.tensor(values, dtype=torch.float64)
        with _together():
            dist.all_reduce(said, group=_said)
        return (said / self.size).tolist()

    def told(self, values: Sequence[float]) -> list[float]:
        """What the first process says; the others give as many numbers, of which nothing is heard."""
        if self.size == 1:
            return list(values)
        said = torch.tensor(values, dtype=torch.float64)
        with _together():
            dist.broadcast(said, 0, group=_said)
        return said.tolist()

    def sent(self, content: bytes) -> bytes:
        """The first process's bytes."""
        if self.size == 1:
            return content
        (length,) = self.told([len(content)])
        said = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content and self.first else None
        said = torch.empty(int(length), dtype=torch.uint8) if said is None else said
        with _together():
            dist.broadcast(said, 0, group=_said)
        return said.numpy().tobytes()

    @contextmanager
    def files(self, folder: Path | None, *names: str) -> Iterator[Path]:
        """A folder in which every process finds files of the first one's ``folder``; no disk need be shared."""
        if self.first:
            assert folder is not None
            for name in names if self.size > 1 else ():
                self.sent(_content(folder / name))
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="geogan-") as copies:
            for name in names:
                (Path(copies) / name).write_bytes(self.sent(b""))
            yield Path(copies)

    def _sum(self, tensor: Tensor) -> Tensor:
        with _together():
            dist.all_reduce(tensor)
        return tensor


ALONE = Ranks()


def processes_here() -> int:
    """How many processes of the training the launcher says are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if Ranks.here().size > 1 else 1


def own_accelerator() -> int:
    """The number of this process's accelerator, of those of this machine; not every launcher numbers by machines."""
    number = os.environ.get("LOCAL_RANK") or os.environ.get("RANK") or Ranks.here().rank
    return int(number) % max(1, torch.cuda.device_count())


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that a launcher such as ``torchrun`` started beside this one; alone where none did.

    Raises
    ------
    InputError
        Where they cannot be reached.
    """
    global _said
    launched = all(name in os.environ for name in TOLD) and int(os.environ["WORLD_SIZE"]) > 1
    if not launched or Ranks.here().size > 1:
        yield Ranks.here()
        return
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(own_accelerator())
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PROMPT)
        _said = dist.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"the {os.environ['WORLD_SIZE']} processes of this training could not reach each other at "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} ({error}); check torchrun's address and port"
        ) from error
    try:
        yield Ranks.here()
    finally:
        _said = None
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
