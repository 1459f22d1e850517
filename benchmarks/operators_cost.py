"""Measure what operators cost, compared with a training step of the default networks.

    python benchmarks/operators_cost.py [--precision bfloat16] [--rounds 5]

For each operator the processor time of drawing theta for 64 films of one frame of 256 x 256 cells, and of applying it
to them. A training step of the default size has fewer cells; the share is that of a step with as many cells, whose time
is proportional to them. Medians on one thread.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from train_step import compare

from geogan.operators.operator import Operator
from geogan.operators.parse import OPERATORS, parse
from geogan.settings import Settings, TrainConfig

SHAPE = (64, 1, 1, 256, 256)
# Further parameters that cost more than the defaults.
MORE = ("footprint:fwhm=12,across=6,angle=30", "noise:sigma=0.1,line=0.2,length=20", "cloud_mask:persistence=2")


def median_time(work: Callable[[], Any], rounds: int) -> float:
    """Return the median processor time, in seconds."""
    work()
    took = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return statistics.median(took)


def ready(text: str) -> Operator:
    """Return the operator, fitted to some gaps if it needs them."""
    gaps = np.random.default_rng(0).random((64, *SHAPE[-2:])) > 0.5
    operator = parse(text)
    return operator.fitted(gaps, np.ones(SHAPE[-2:], bool)) if text == "observed_gaps" else operator


def main() -> None:
    """Print a line for each operator."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    batch, crop = 8, TrainConfig.crop
    step, *_ = compare(
        networks="unet", precision=getattr(torch, given.precision), device=torch.device("cpu"), batch=batch, crop=crop,
        rounds=given.rounds,
    )  # fmt: skip
    frames = 2 * Settings.window + 1
    same_cells = step * np.prod(SHAPE) / (batch * frames * crop**2)
    print(
        f"step of {batch} windows of {frames} x {crop} x {crop} cells: {1e3 * step:.0f} ms; of as many cells as the "
        f"masks: {1e3 * same_cells:.0f} ms\n\n"
        "| operator | sample, ms | apply, ms | sample, share of a step with as many cells |\n|---|---|---|---|"
    )
    x, generator = torch.randn(SHAPE), torch.Generator().manual_seed(0)
    for text in (*OPERATORS, *MORE):
        operator = ready(text)
        theta = operator.sample(SHAPE, generator=generator)
        sampling = median_time(lambda: operator.sample(SHAPE, generator=generator), given.rounds)  # noqa: B023
        applying = median_time(lambda: operator.apply(x, theta), given.rounds)  # noqa: B023
        print(f"| {text} | {1e3 * sampling:.0f} | {1e3 * applying:.0f} | {sampling / same_cells:.1%} |", flush=True)


if __name__ == "__main__":
    main()
