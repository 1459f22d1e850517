"""The same training without the prior term, which ``geogan evaluate`` compares a model with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from geogan.files.run_folder import ABLATION, is_run
from geogan.model import Model, load_model
from geogan.operators.wording import counted
from geogan.pipelines.train import train
from geogan.settings import DataConfig, Objective, Settings, flattened


def can_be_ablated(model: Model) -> bool:
    """Return whether a model has a prior term to omit, and something to learn from its own data without it."""
    if model.network is None:
        return False
    objective = Objective(**model.settings["objective"])
    if objective.weight_paired > 0 or objective.clean_unrelated:
        return False
    return objective.weight_prior > 0 and objective.weight_likelihood + objective.weight_withheld > 0


def ablated(
    data: Any,
    run: Path,
    model: Model,
    described: Mapping[str, Any],
    *,
    threads: int | None,
    device: str,
    console: Console | None,
) -> Model:
    """Return the model without the prior term, trained once for as many steps and kept in the folder of the run.

    Parameters
    ----------
    data : path or URL, or several
        The data that the run was trained on.
    run : Path
    model : Model
    described : mapping
        Description of the run, and how the data are read.
    threads : int, optional
    device : str
    console : Console, optional
    """
    path = run / ABLATION
    if is_run(path) and _is_ablation_of(load_model(path), model):
        return load_model(path)
    if console is not None:
        steps, seconds = model.scores["steps"], model.scores["seconds"]
        console.print(f"training without the prior term, once, {counted(steps, 'step')} (at most {seconds:.0f} s)")
    config: dict[str, Any] = {each.name: described.get(each.name) for each in fields(DataConfig)}
    config |= {
        "data": data,
        # A run may not record the domain.
        "domain": described.get("domain") or ("all" if model.domain.all() else "observed"),
        "time": described.get("dates") or described["time"],
        "clean": (),
        "allow_product": True,
    }
    settings = Settings.stored(model.settings).replaced(
        weight_prior=0.0,
        steps=model.scores["steps"],
        minutes=None,
        precision=model.precision,
        threads=threads or model.settings["training"]["threads"],
    )
    train(DataConfig(**config), settings, out=path, device=device, overwrite=True, console=console)
    return load_model(path)


def _is_ablation_of(other: Model, model: Model) -> bool:
    """Return whether a model differs from another only in its prior term; a run that was replaced leaves an old one."""
    free = ("weight_prior", "steps", "minutes", "threads", "precision", "operator")
    settings = [
        {name: value for name, value in flattened(part.settings).items() if name not in free} for part in (other, model)
    ]
    return (
        settings[0] == settings[1]
        and other.scores["steps"] >= model.scores["steps"]
        and other.operator == model.operator
        and np.array_equal(other.withheld.sources, model.withheld.sources)
        and np.array_equal(other.standardiser.coefficients, model.standardiser.coefficients)
    )
