"""The same training without the prior term, which ``geogan evaluate`` compares a model with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from geogan.files.run_folder import ABLATION, is_run
from geogan.model.model import Model
from geogan.model.model_file import load_model
from geogan.pipelines.train import train
from geogan.presets import OPTIMISER
from geogan.reconstructor import Reconstructor


def can_be_ablated(model: Model) -> bool:
    """Return whether a model has a prior term to omit, something to learn without it, and repeatable settings.

    Settings that only presets have cannot be repeated by options of ``geogan train``; a training that differs in them
    too would not be comparable.
    """
    if model.network is None:
        return False
    of_presets = (
        *OPTIMISER, "show_mask", "weight_paired", "clean_unrelated", "likelihood_every", "averaging",
    )  # fmt: skip
    usual, settings = vars(Reconstructor()), model.settings
    learns = settings.get("weight_prior", 0) > 0 and settings["weight_likelihood"] + settings["weight_withheld"] > 0
    return learns and all(settings.get(name, usual[name]) == usual[name] for name in of_presets)


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
    settings = model.settings
    if console is not None:
        steps, seconds = model.scores["steps"], model.scores["seconds"]
        console.print(f"training without the prior term, once, {steps} steps (at most {seconds:.0f} s)")
    train(
        data,
        operator=[settings["operator"]] if isinstance(settings["operator"], str) else settings["operator"],
        out=path,
        variable=described["variable"],
        # A run may not record the domain.
        domain=described.get("domain") or ("all" if model.domain.all() else "observed"),
        time=described.get("dates") or described["time"],
        group=described.get("group"),
        dims=described.get("dims"),
        where=described.get("where"),
        transform=settings["transform"],
        covariate=settings.get("covariates", ()),
        noise=settings.get("noise"),
        error_variable=described.get("error_variable"),
        generator=settings["generator"],
        discriminator=settings["discriminator"],
        window=settings["window"],
        width=settings["width"],
        crop=settings["crop"],
        batch=settings["batch"],
        members=settings["members"],
        weight_prior=0.0,
        weight_likelihood=settings["weight_likelihood"],
        weight_withheld=settings["weight_withheld"],
        first_guess=settings["first_guess"],
        steps=model.scores["steps"],
        precision=model.precision,
        seed=settings["seed"],
        threads=threads or settings["threads"],
        device=device,
        overwrite=True,
        allow_product=True,
        console=console,
    )
    return load_model(path)


def _is_ablation_of(other: Model, model: Model) -> bool:
    """Return whether a model differs from another only in its prior term; a run that was replaced leaves an old one."""
    free = ("weight_prior", "steps", "minutes", "threads", "precision", "operator")
    settings = [{name: value for name, value in part.settings.items() if name not in free} for part in (other, model)]
    return (
        settings[0] == settings[1]
        and other.scores["steps"] >= model.scores["steps"]
        and other.operator == model.operator
        and np.array_equal(other.withheld.sources, model.withheld.sources)
        and np.array_equal(other.standardiser.coefficients, model.standardiser.coefficients)
    )
