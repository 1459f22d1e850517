"""Precision and number of threads of a training, by fixed rules: timing them would leave the result to chance.

Sums of floating-point numbers depend on their order, and so on the number of threads. Both are recorded in the model
and kept when a run is resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from geogan.compute.processes import processes_here
from geogan.compute.threads import workers
from geogan.operators.wording import counted
from geogan.settings import TrainConfig

# Instructions of x86 processors that multiply numbers of bfloat16.
NATIVE_BFLOAT16 = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True)
class Arithmetic:
    """How the networks compute while training."""

    precision: str
    threads: int

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the precision."""
        return getattr(torch, self.precision)

    def __str__(self) -> str:
        return f"{self.precision} on {counted(self.threads, 'thread')}"


def choose_arithmetic(
    training: TrainConfig,
    device: torch.device,
    *,
    recorded: Arithmetic | None = None,
    message: Callable[[str], None] = lambda sentence: None,
) -> Arithmetic:
    """Return precision and threads: as set, else as recorded in the run that is resumed, else by rule.

    The rules: bfloat16 where the device computes in it natively, else float32; one thread for each window of the batch,
    but not more than all cores but one, which prepares blocks.

    Parameters
    ----------
    training : TrainConfig
    device : torch.device
    recorded : Arithmetic, optional
        What a run that is resumed computed with. Its threads are used as far as this machine has cores.
    message : callable
        Called with a sentence where fewer threads than recorded are used.

    Examples
    --------
    >>> choose_arithmetic(TrainConfig(precision="float32", threads=2), torch.device("cpu"))
    Arithmetic(precision='float32', threads=2)
    """
    most = max(1, workers(None) // processes_here() - 1)
    precision, threads = training.precision, training.threads
    if precision == "auto":
        precision = recorded.precision if recorded else "bfloat16" if has_bfloat16(device) else "float32"
    if threads is None and recorded:
        threads = min(recorded.threads, most)
        if threads < recorded.threads:
            message(
                f"the run was trained on {counted(recorded.threads, 'thread')}, and this machine has cores for {most} "
                "beside the one that prepares blocks; the result may differ in the last digits"
            )
    return Arithmetic(precision, threads or min(training.batch, most))


def has_bfloat16(device: torch.device, *, processor: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether a device computes in bfloat16 natively; unknown processors count as if they did not."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        lines = processor.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return device.type == "cpu" and not NATIVE_BFLOAT16.isdisjoint(flags.split())
