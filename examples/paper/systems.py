"""The systems of Table 1, one function each: train on measured images, then reconstruct the test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from geogan.compute.device import find_device
from geogan.evaluation.baselines.ambientgan import GeneratorTraining, LatentSearch, search_latent, train_ambientgan
from geogan.evaluation.baselines.biharmonic import biharmonic
from geogan.evaluation.baselines.deep_image_prior import deep_image_prior
from geogan.evaluation.baselines.total_variation import total_variation
from geogan.files.run_folder import STATE
from geogan.operators.operator import Operator
from geogan.paper.cells import Cell
from geogan.presets import OPTIMISER, PRESETS
from geogan.reconstructor import Reconstructor
from geogan.settings import NetworkConfig, by_object
from geogan.training import Checkpoint, Progress

Answer = tuple[np.ndarray, dict[str, Any]]
"""Reconstructed test images, and the record of the training."""

System = Callable[[Cell, Operator, xr.DataArray, xr.DataArray, xr.DataArray, Path], Answer]
"""Function of the cell, the operator, measured and clean training images, measured test images, and the folder."""


# Rows with the networks and optimisers of unir-light, or unir-global, and what they change. As in the paper,
# the paired row is a regression with an adversarial term, whose weight is that of the preset `paired`.
LIGHT_ROWS: dict[str, dict[str, Any]] = {
    "unir_light": {},
    "paired": {"weight_paired": 1.0, "weight_likelihood": 0.0, "weight_prior": 0.02, "prior_every": 1},
    "unpaired": {"clean_unrelated": True, "weight_r1": 0.1, "rate_generator": 5e-4, "rate_discriminator": 5e-4},
}


def train_reconstructor(
    cell: Cell,
    operator: Operator,
    train: xr.DataArray,
    clean: xr.DataArray,
    test: xr.DataArray,
    out: Path,
    changes: Mapping[str, Any] | None = None,
) -> Answer:
    """Train geogan's method, the paper's objective, or a variant that sees clean images.

    Parameters
    ----------
    changes : mapping, optional
        Other settings of the Reconstructor.
    """
    run = out / "cells" / cell.name
    settings = by_object(training_settings(cell) | {"threads": 1, "seed": cell.seed} | dict(changes or {}))
    reconstructor = Reconstructor(operator, device=cell.device, **settings)
    curve: list[tuple[int, float]] = []

    def note(record: Progress, unit: float) -> None:
        if record.score is not None:
            curve.append((record.step, record.score * unit))

    reconstructor.fit(
        train,
        clean=clean if cell.row in ("paired", "unpaired") else None,
        checkpoint=Checkpoint(run, resume=(run / STATE).is_file()),
        progress=note,
    )
    scores = reconstructor.model_.scores
    filled = reconstructor.fill(test)[str(test.name)].transpose(*test.dims)
    return filled.values, {"steps": scores["steps"], "best_step": scores["step"], "curve": curve}


def training_settings(cell: Cell) -> dict[str, Any]:
    """Return the settings of a row by their flat names: one training loop and one budget for every system."""
    paper = PRESETS["unir"]
    networks = ("generator", "discriminator", "show_mask", "batch")
    settings: dict[str, Any] = {"batch": 32, "generator": cell.generator, "crop": cell.size}
    if cell.row == "unir":
        settings |= {name: value for name, value in paper.items() if name not in networks}
    elif cell.row in LIGHT_ROWS:
        # Where one pixel in ten is seen, a generator must see all pixels at once.
        sees_few = cell.column in ("remove_pixel", "remove_pixel_channel")
        settings |= PRESETS["unir-global" if sees_few else "unir-light"] | LIGHT_ROWS[cell.row]
    if cell.generator == "sagan":
        # The paper's networks are trained with its optimisers for every objective.
        settings |= {name: paper[name] for name in networks} | OPTIMISER | {"width": NetworkConfig.width}
    if cell.width is not None:
        settings |= {"width": cell.width}
    if cell.row == "gaussian":
        return settings | {"steps": 0}  # an untrained generator returns the first guess
    return settings | {"steps": cell.steps, "minutes": cell.minutes}


def run_ambientgan(
    cell: Cell,
    operator: Operator,
    train: xr.DataArray,
    clean: xr.DataArray,
    test: xr.DataArray,
    out: Path,
    search: LatentSearch = LatentSearch(),
) -> Answer:
    """Train Conditional AmbientGAN, then search the latent of each test image, as the paper does or through F.

    The paper's row is G(z) alone; in the row through F observed pixels are kept.
    """
    device = find_device(cell.device)
    (values, mask), (measured, observed) = _tensors(train), _tensors(test)
    steps = 0

    def count(step: int, losses: dict[str, float]) -> None:
        nonlocal steps
        steps = step

    training = GeneratorTraining(bounded=True, steps=cell.steps, minutes=cell.minutes, precision=torch.bfloat16)
    generator = train_ambientgan(values, mask, operator, training, seed=cell.seed, device=device, progress=count)
    search = replace(search, through_operator=cell.row == "ambientgan_measured")
    filled = search_latent(generator, measured, observed, operator, search, seed=cell.seed, device=device).cpu()
    if operator.exact and search.through_operator:
        filled = torch.where(observed > 0, measured, filled)
    return filled.numpy().reshape(test.shape), {"steps": steps}


def _tensors(images: xr.DataArray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return values, 0 in gaps, and the mask, (N, 1, C, H, W)."""
    values = torch.from_numpy(images.values).reshape(len(images), 1, -1, *images.shape[-2:])
    return values.nan_to_num(), values.isfinite().to(values.dtype)


def _untrained(fill: Callable[[np.ndarray, np.ndarray, Operator, Cell], np.ndarray]) -> System:
    """Return a system that fills each measurement separately."""

    def system(
        cell: Cell, operator: Operator, train: xr.DataArray, clean: xr.DataArray, test: xr.DataArray, out: Path
    ) -> Answer:
        values = test.values.reshape(len(test), -1, *test.shape[-2:])
        return fill(values, np.ones(values.shape[-2:], bool), operator, cell).reshape(test.shape), {}

    return system


def fill_with_mean(
    cell: Cell, operator: Operator, train: xr.DataArray, clean: xr.DataArray, test: xr.DataArray, out: Path
) -> Answer:
    """Fill each pixel with the mean of its measurements in the training images."""
    return test.fillna(train.mean("sample")).transpose(*test.dims).values, {}


SYSTEMS: dict[str, System] = {
    **dict.fromkeys(("paired", "unpaired", "model", "unir", "unir_light", "gaussian"), train_reconstructor),
    "ambientgan": run_ambientgan,
    "ambientgan_measured": run_ambientgan,
    "zeros": lambda cell, operator, train, clean, test, out: (test.fillna(0).values, {}),
    "mean": fill_with_mean,
    "biharmonic": _untrained(lambda values, domain, operator, cell: biharmonic(values, domain=domain)),
    "total_variation": _untrained(
        lambda values, domain, operator, cell: total_variation(values, domain=domain, noisy=not operator.exact)
    ),
    "deep_image_prior": _untrained(
        lambda values, domain, operator, cell: deep_image_prior(
            values,
            domain=domain,
            measure=None if operator.exact else operator.blur,
            seed=cell.seed,
            threads=1,
            device=find_device(cell.device),
        )
    ),
}
"""The function of each row."""
